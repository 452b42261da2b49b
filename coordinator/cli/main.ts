#!/usr/bin/env node
/** Starts the command line (program.ts) with this process's arguments. */
import { endOnCrash } from "../../proto/crash.js";
import { endWithReader } from "./output.js";
import { runCommandLine } from "./program.js";

endOnCrash();
endWithReader();
process.exitCode = await runCommandLine(process.argv.slice(2));
