/** `convsweep backup FILE`: a consistent copy of the database, with or without a running coordinator. */
import { existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import type { Command } from "commander";
import { ConvsweepError } from "../../proto/contract.js";
import { openSqliteStore } from "../store/sqlite.js";
import { findRunning, withAdmin } from "./connect.js";
import { contextOf } from "./context.js";
import { formatBytes } from "./format.js";

export function addBackup(program: Command): void {
  program
    .command("backup")
    .description("copy the database to a file, also while a coordinator runs")
    .argument("<file>", "where the copy goes; must not exist")
    .addHelpText(
      "after",
      `
The copy is a whole store's database: put it into an empty folder as convsweep.db and name that folder with --store.

Example:
  convsweep backup /mnt/backup/convsweep-monday.db`,
    )
    .action(async (file: string, _options: object, command: Command) => {
      const context = contextOf(command);
      const target = resolve(file);
      if (existsSync(target)) {
        throw new ConvsweepError("CONFLICT", `${target} exists; a backup never writes over a file`, { path: target });
      }
      let bytes: number;
      if (context.options.coordinator !== null || (await findRunning(context.options.store))) {
        bytes = await withAdmin(context, (client) => client.backup(target));
      } else {
        const store = openSqliteStore(context.options.store, { create: false });
        try {
          await store.backup(target);
        } finally {
          store.close();
        }
        bytes = statSync(target).size;
      }
      if (context.output.json) context.output.data({ file: target, bytes });
      else context.output.line(`${target}: ${formatBytes(bytes)}`);
    });
}
