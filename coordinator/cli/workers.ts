/** `convsweep workers`: who trains, on what, since when. */
import type { Command } from "commander";
import { ask } from "./connect.js";
import { contextOf } from "./context.js";
import { type Format, formatOption, writeRows } from "./rows.js";

export function addWorkers(program: Command): void {
  program
    .command("workers")
    .description("list the workers of the store")
    .addOption(formatOption())
    .action(async (options: { format: Format }, command: Command) => {
      const context = contextOf(command);
      writeRows(context.output, await ask(context, "SELECT * FROM workers ORDER BY id"), options.format);
    });
}
