/** The process that looks through a store for examine-beside.ts: takes its folder, answers one message, ends. */
import { setPriority } from "node:os";
import { examineStore } from "./examine.js";

// Whatever else there is to do goes first.
setPriority(19);
// Alone it is of no use to anybody.
process.once("disconnect", () => process.exit(1));
process.send?.(examineStore(process.argv[2] ?? ""), () => process.disconnect());
