/** `convsweep restore BACKUP`: puts a backup in the place of the store's database. */
import type { Command } from "commander";
import { ConvsweepError } from "../../proto/contract.js";
import { restoreStore } from "../store/restore.js";
import { findRunning } from "./connect.js";
import { contextOf } from "./context.js";

export function addRestore(program: Command): void {
  program
    .command("restore")
    .description("put a backup in the place of the store's database")
    .argument("<backup>", "a file made by `convsweep backup`, or one of the store's own backups/")
    .addHelpText(
      "after",
      `
The coordinator must not be running. The database that is there stays beside the restored one under another name. What
was recorded after the backup is gone from the record; workers that still train send what they kept of it again.

Example:
  convsweep restore ~/.local/share/convsweep/backups/convsweep-20260101T120000Z.db`,
    )
    .action(async (backup: string, _options: object, command: Command) => {
      const { options, output } = contextOf(command);
      const running = await findRunning(options.store);
      if (running) {
        throw new ConvsweepError("WRONG_STATE", `a coordinator has ${options.store} open: end it first`, {
          path: options.store,
          expected: "no coordinator",
          found: `one at ${running.grpc}`,
        });
      }
      const restored = restoreStore(options.store, backup, new Date());
      if (output.json) output.data(restored);
      else {
        output.line(`${restored.path}: ${restored.commit} commits, generation ${restored.generation}`);
        if (restored.kept !== null) output.line(`the database before is ${restored.kept}`);
      }
    });
}
