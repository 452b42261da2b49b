/** `convsweep workers`: who trains, on what, since when. */
import type { Command } from "commander";
import { ask } from "./connect.js";
import { contextOf } from "./context.js";
import { type Format, formatOption, writeRows } from "./rows.js";

/** The devices as `cpu 2 lanes`; everything else in the other formats. */
const SHOWN = `id, state, host, pid, version,
  (SELECT group_concat((value ->> 'id') || ' ' || (value ->> 'lanes') || ' lanes', ', ') FROM json_each(workers.devices)) AS devices,
  last_seen`;

export function addWorkers(program: Command): void {
  program
    .command("workers")
    .description("list the workers of the store")
    .addOption(formatOption())
    .addHelpText("after", "\nExample:\n  convsweep workers")
    .action(async (options: { format: Format }, command: Command) => {
      const context = contextOf(command);
      const columns = options.format === "table" && !context.output.json ? SHOWN : "*";
      writeRows(context.output, await ask(context, `SELECT ${columns} FROM workers ORDER BY id`), options.format);
    });
}
