/** `convsweep workers`: who trains, on what, since when, and what the devices say of themselves. */
import type { Command } from "commander";
import type { DeviceUse, WorkerDevice } from "../core/types.js";
import { ask } from "./connect.js";
import { contextOf } from "./context.js";
import { formatBytes } from "./format.js";
import { type Answer, type Format, formatOption, writeRows } from "./rows.js";

const SHOWN = "id, state, host, pid, version, devices, last_seen";

export function addWorkers(program: Command): void {
  program
    .command("workers")
    .description("list the workers of the store")
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
Of devices that NVIDIA's management library knows the table says how much of the time a kernel ran, the memory in use by
all programs, temperature and power, some seconds old. The other formats have it in \`devices\`, under \`use\`.

Example:
  convsweep workers`,
    )
    .action(async (options: { format: Format }, command: Command) => {
      const context = contextOf(command);
      const forPeople = options.format === "table" && !context.output.json;
      const answer = await ask(context, `SELECT ${forPeople ? SHOWN : "*"} FROM workers ORDER BY id`);
      writeRows(context.output, forPeople ? inWords(answer) : answer, options.format);
    });
}

/** The devices as `cuda:0 64 lanes, 87 % busy, 9.00 GiB of 79.6 GiB, 61 °C, 412 W`. */
function inWords(answer: Answer): Answer {
  const at = answer.columns.indexOf("devices");
  const rows = answer.rows.map((row) =>
    row.map((cell, i) => {
      if (i !== at) return cell;
      return (JSON.parse(String(cell)) as readonly WorkerDevice[]).map(describeDevice).join("; ");
    }),
  );
  return { ...answer, rows };
}

export function describeDevice({ id, lanes, use }: Pick<WorkerDevice, "id" | "lanes" | "use">): string {
  return [`${id} ${lanes} lanes`, ...describeUse(use ?? {})].join(", ");
}

function describeUse({ utilization, memoryUsed, memoryTotal, temperature, power }: DeviceUse): readonly string[] {
  const total = memoryTotal === undefined ? "" : ` of ${formatBytes(memoryTotal)}`;
  return [
    ...(utilization === undefined ? [] : [`${Math.round(100 * utilization)} % busy`]),
    ...(memoryUsed === undefined ? [] : [`${formatBytes(memoryUsed)}${total}`]),
    ...(temperature === undefined ? [] : [`${Math.round(temperature)} °C`]),
    ...(power === undefined ? [] : [`${Math.round(power)} W`]),
  ];
}
