/** `convsweep sweeps` and `convsweep sweep show|pause|resume|cancel|extend`. */
import type { Command } from "commander";
import { ConvsweepError } from "../../proto/contract.js";
import { ask, withAdmin } from "./connect.js";
import { contextOf, parseCount, parseSweepNumber } from "./context.js";
import { parseDuration } from "./duration.js";
import { asObjects, type Format, formatOption, writeRows } from "./rows.js";

const LIST = `SELECT id, name, state, method, metric, best_value, trials, completed, failed, created_at, cause
  FROM sweeps ORDER BY id DESC LIMIT 50`;

export function addSweep(program: Command): void {
  program
    .command("sweeps")
    .description("list sweeps, newest first")
    .addOption(formatOption())
    .addHelpText("after", "\nExample:\n  convsweep sweeps --format csv")
    .action(async (options: { format: Format }, command: Command) => {
      const context = contextOf(command);
      writeRows(context.output, await ask(context, LIST), options.format);
    });

  const sweep = program
    .command("sweep")
    .description("show, pause, resume, cancel or extend a sweep")
    .addHelpText("after", "\nExamples:\n  convsweep sweep show 1\n  convsweep sweep extend 1 --trials 16");

  sweep
    .command("show")
    .description("everything about one sweep")
    .argument("<id>", "the sweep's number", parseSweepNumber)
    .addHelpText("after", "\nExample:\n  convsweep sweep show 1")
    .action(async (id: number, _options: object, command: Command) => {
      const context = contextOf(command);
      const { output } = context;
      const [row] = asObjects(await ask(context, "SELECT * FROM sweeps WHERE id = ?", [id]));
      if (!row) {
        throw new ConvsweepError("NOT_FOUND", `there is no sweep ${id}; \`${context.command} sweeps\` lists them`, {
          found: String(id),
        });
      }
      if (output.json) {
        output.data(row);
        return;
      }
      const width = Math.max(...Object.keys(row).map((name) => name.length));
      for (const [name, value] of Object.entries(row)) {
        if (value === null || value === "") continue;
        output.line(
          `${output.paint.dim(name.padEnd(width))}  ${String(value)
            .trimEnd()
            .replaceAll("\n", `\n${" ".repeat(width + 2)}`)}`,
        );
      }
    });

  for (const [action, what] of [
    ["pause", "start no more of its trials; running ones go on"],
    ["resume", "go on after a pause"],
    ["cancel", "stop its trials and end it"],
  ] as const) {
    sweep
      .command(action)
      .description(what)
      .argument("<id>", "the sweep's number", parseSweepNumber)
      .addHelpText("after", `\nExample:\n  convsweep sweep ${action} 1`)
      .action(async (id: number, _options: object, command: Command) => {
        const context = contextOf(command);
        await withAdmin(context, (client) => client.controlSweep(id, action));
        if (context.output.json) context.output.data({ sweep: id, action });
        else context.output.line(`sweep ${id}: ${{ pause: "paused", resume: "resumed", cancel: "cancelled" }[action]}`);
      });
  }

  sweep
    .command("extend")
    .description("more trials or more time; an ended sweep runs again")
    .argument("<id>", "the sweep's number", parseSweepNumber)
    .option("--trials <n>", "trials more than now", parseCount("--trials"))
    .option("--wall <duration>", "wall time more than now, such as 30m or 2h", parseDuration("--wall"))
    .addHelpText("after", "\nExamples:\n  convsweep sweep extend 1 --trials 16\n  convsweep sweep extend 1 --wall 30m")
    .action(async (id: number, options: { trials?: number; wall?: number }, command: Command) => {
      const { trials = 0, wall = 0 } = options;
      if (trials === 0 && wall === 0) {
        throw new ConvsweepError("BAD_INPUT", "sweep extend: say by how much, with --trials N or --wall DURATION", {
          expected: "--trials or --wall",
        });
      }
      const context = contextOf(command);
      await withAdmin(context, (client) => client.extendSweep(id, trials, wall));
      if (context.output.json) context.output.data({ sweep: id, action: "extend", trials, wallMillis: wall });
      else context.output.line(`sweep ${id}: extended`);
    });
}
