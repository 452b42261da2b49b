/** `convsweep query`: read-only SQL over the documented views. */
import type { Command } from "commander";
import { ask } from "./connect.js";
import { contextOf } from "./context.js";
import { type Format, formatOption, writeRows } from "./rows.js";

export function addQuery(program: Command): void {
  program
    .command("query")
    .description("ask the history in read-only SQL")
    .argument("<sql>", "one SELECT over the views sweeps, trials, reports, attempts, workers, events")
    .addOption(formatOption())
    .addHelpText(
      "after",
      `
Examples:
  convsweep query "SELECT number, best_value, json_extract(params, '$.learning_rate') AS lr FROM trials WHERE sweep = 1 ORDER BY best_value DESC LIMIT 5"
  convsweep query "SELECT epoch, value FROM reports WHERE trial = '1/3' AND metric = 'val_accuracy'" --format csv
  convsweep query "SELECT at, kind, detail FROM events WHERE sweep = 1" --format jsonl

The views and their columns: docs/views.md`,
    )
    .action(async (sql: string, options: { format: Format }, command: Command) => {
      const context = contextOf(command);
      writeRows(context.output, await ask(context, sql), options.format);
    });
}
