/** `convsweep events`: what happened and why, newest last. */
import type { Command } from "commander";
import { ask } from "./connect.js";
import { contextOf, parseCount, parseSweepNumber } from "./context.js";
import { type Format, formatOption, writeRows } from "./rows.js";
import { parseTrial } from "./trial.js";

interface Options {
  readonly trial?: string;
  readonly worker?: string;
  readonly kind?: string;
  readonly limit: number;
  readonly format: Format;
}

export function addEvents(program: Command): void {
  program
    .command("events")
    .description("what happened and why, newest last")
    .argument("[sweep]", "a sweep's number; without it everything", parseSweepNumber)
    .option("--trial <id>", "of one trial, such as 1/3", parseTrial)
    .option("--worker <name>", "of one worker")
    .option("--kind <kind>", "of one kind, such as attempt-lost; `worker-*` for all that begin so")
    .option("--limit <n>", "the newest so many", parseCount("--limit"), 50)
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
Examples:
  convsweep events 1
  convsweep events --trial 1/3
  convsweep events --kind "attempt-*" --limit 20 --format csv

The kinds: docs/events.md`,
    )
    .action(async (sweep: number | undefined, options: Options, command: Command) => {
      const context = contextOf(command);
      const filters: [string, string | number][] = [];
      if (sweep !== undefined) filters.push(["sweep = ?", sweep]);
      if (options.trial !== undefined) filters.push(["trial = ?", options.trial]);
      if (options.worker !== undefined) filters.push(["worker = ?", options.worker]);
      if (options.kind !== undefined) filters.push(["kind GLOB ?", options.kind]);
      const where = filters.length === 0 ? "" : `WHERE ${filters.map(([text]) => text).join(" AND ")}`;
      const columns =
        options.format === "table" && !context.output.json ? "at, kind, sweep, trial, worker, detail" : "*";
      const newest = `SELECT * FROM events ${where} ORDER BY seq DESC LIMIT ?`;
      const sql = `SELECT ${columns} FROM (${newest}) ORDER BY seq`;
      const values = [...filters.map(([, value]) => value), options.limit];
      writeRows(context.output, await ask(context, sql, values), options.format);
    });
}
