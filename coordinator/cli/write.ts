/**
 * `convsweep write TRIAL`: text from a character network.
 *
 * The trial is trained again on this machine, to the same bytes, then writes; its text file must be at hand. Reads the
 * record like any reading command, with or without a coordinator.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import { ConvsweepError } from "../../proto/contract.js";
import { ask } from "./connect.js";
import { type Context, contextOf, parseCount } from "./context.js";
import { asObjects } from "./rows.js";
import { runWorkerProgram } from "./worker-process.js";

interface Options {
  readonly start?: string;
  readonly length: number;
  readonly temperature: number;
}

const LENGTH = 400;
const TEMPERATURE = 0.8;

export function addWrite(program: Command): void {
  program
    .command("write")
    .description("what a trial of a character network writes")
    .argument("<id>", "SWEEP/NUMBER, such as 3/17")
    .option("--start <text>", "go on from these characters")
    .option("--length <n>", "characters to write", parseCount("--length", 1, 100_000), LENGTH)
    .option("--temperature <t>", "0: the likeliest character each time; above 1: wilder", parseTemperature, TEMPERATURE)
    .addHelpText(
      "after",
      `
The trial is trained again here first, to the same bytes.

Example:
  convsweep write 1/3 --start "The captain" --length 400 --temperature 0.7`,
    )
    .action(async (id: string, options: Options, command: Command) => {
      process.exitCode = await write(contextOf(command), id, options);
    });
}

function parseTemperature(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 100))
    throw new InvalidArgumentError("expected a number from 0 to 100.");
  return value;
}

async function write(context: Context, id: string, options: Options): Promise<number> {
  const [row] = asObjects(
    await ask(
      context,
      "SELECT trials.seed AS seed, params, weights_hash, recipe FROM trials JOIN sweeps ON trials.sweep = sweeps.id WHERE trials.id = ?",
      [id],
    ),
  );
  if (!row) {
    throw new ConvsweepError("NOT_FOUND", `there is no trial ${id}; \`${context.command} trials\` lists them`, {
      found: id,
    });
  }
  const recipe = JSON.parse(String(row["recipe"])) as Record<string, unknown>;
  const drawn = JSON.parse(String(row["params"])) as Record<string, unknown>;
  const own = Object.fromEntries(Object.entries(drawn).filter(([name]) => Object.hasOwn(recipe, name)));
  const folder = mkdtempSync(join(tmpdir(), "convsweep-write-"));
  try {
    const file = join(folder, "trial.json");
    const trial = {
      recipe: JSON.stringify({ ...recipe, ...own }),
      seed: row["seed"],
      parameters: JSON.stringify(drawn),
      weightsHash: row["weights_hash"] ?? null,
    };
    writeFileSync(file, JSON.stringify(trial));
    const { start, length, temperature } = options;
    return await runWorkerProgram([
      "write",
      "--trial",
      file,
      "--length",
      String(length),
      "--temperature",
      String(temperature),
      ...(start === undefined ? [] : ["--start", start]),
      ...(context.options.json ? ["--json"] : []),
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
