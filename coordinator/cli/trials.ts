/** `convsweep trials`: the leaderboard of one sweep, or the newest trials of all. */
import type { Command } from "commander";
import { ConvsweepError } from "../../proto/contract.js";
import { ask } from "./connect.js";
import { type Context, contextOf, parseCount, parseSweepNumber } from "./context.js";
import { type Format, formatOption, writeRows } from "./rows.js";
import { trialsSql } from "./trials-sql.js";

interface Options {
  readonly where?: string;
  readonly sort?: string;
  readonly limit: number;
  readonly format: Format;
}

export function addTrials(program: Command): void {
  program
    .command("trials")
    .description("list trials, best first")
    .argument("[sweep]", "a sweep's number; without it the newest trials of all sweeps", parseSweepNumber)
    .option("--where <expression>", "SQL over columns, parameters and metrics by name")
    .option("--sort <key>", "a column, parameter or metric; `-KEY` from high to low")
    .option("--limit <n>", "at most so many", parseCount("--limit"), 20)
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
Examples:
  convsweep trials 1
  convsweep trials 1 --where "learning_rate < 0.01 AND val_loss < 0.2" --sort l2
  convsweep trials --where "state = 'failed'" --format csv`,
    )
    .action(async (sweep: number | undefined, options: Options, command: Command) => {
      const context = contextOf(command);
      const names = async (column: "params" | "metrics"): Promise<string[]> => {
        const filter = sweep === undefined ? "" : "WHERE sweep = ?";
        const sql = `SELECT DISTINCT j.key FROM trials, json_each(trials.${column}) AS j ${filter} ORDER BY 1`;
        return (await ask(context, sql, sweep === undefined ? [] : [sweep])).rows.map((row) => String(row[0]));
      };
      const question = trialsSql({
        sweep: sweep ?? null,
        parameters: await names("params"),
        metrics: await names("metrics"),
        where: options.where ?? null,
        sort: options.sort ?? null,
        goal: sweep === undefined ? null : await goalOf(context, sweep),
        limit: options.limit,
      });
      const answer = await ask(context, question.sql, question.parameters).catch((error: unknown) => {
        throw options.where === undefined ? error : whereError(error, question.names);
      });
      writeRows(context.output, answer, options.format);
    });
}

/** A query that fails with a filter fails because of it: what is wrong there, and what may stand in it. */
function whereError(thrown: unknown, names: readonly string[]): unknown {
  if (!(thrown instanceof ConvsweepError) || (thrown.code !== "BAD_INPUT" && thrown.code !== "FORBIDDEN"))
    return thrown;
  const why = thrown.message.replace(/^the query (failed|is refused): /, "").replace(/; trials has .*$/s, "");
  return new ConvsweepError("BAD_INPUT", `--where: ${why}; there are ${names.join(", ")}`, {
    path: "--where",
    cause: thrown,
  });
}

async function goalOf(context: Context, sweep: number): Promise<"minimize" | "maximize"> {
  const answer = await ask(context, "SELECT goal FROM sweeps WHERE id = ?", [sweep]);
  const goal = answer.rows[0]?.[0];
  if (goal === undefined) {
    throw new ConvsweepError("NOT_FOUND", `there is no sweep ${sweep}; \`${context.command} sweeps\` lists them`, {
      found: String(sweep),
    });
  }
  return goal === "maximize" ? "maximize" : "minimize";
}
