#!/usr/bin/env node
/** Starts the command line (program.ts) with this process's arguments. */
import { endWithReader } from "./output.js";
import { runCommandLine } from "./program.js";

endWithReader();
process.exitCode = await runCommandLine(process.argv.slice(2));
