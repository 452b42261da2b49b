/** `convsweep worker` and `devices`: verbs of the worker program, passed on to it as they are. */
import { join } from "node:path";
import type { Command } from "commander";
import { findRunning } from "./connect.js";
import { contextOf } from "./context.js";
import { tlsArguments } from "./local-workers.js";
import { runWorkerProgram } from "./worker-process.js";

export function addWorkerVerbs(program: Command): void {
  program
    .command("worker")
    .description("train trials for a coordinator")
    .option("--name <name>", "a name kept over restarts (default: the host's)")
    .option("--devices <list>", "devices to train on, such as cuda:0,cpu, or cuda for every GPU (default: cpu)")
    .option("--lanes <n|auto>", "trials at once on each device")
    .option("--threads <n>", "processor threads (default: all)")
    .option("--data <dir>", "folder of data sets (default: $CONVSWEEP_DATA or ~/.cache/convsweep/data)")
    .option("--log-level <level>", "debug, info, warn or error")
    .addHelpText(
      "after",
      `
Without --coordinator it joins the coordinator of the store on this machine. For one elsewhere, \`convsweep certs issue
NAME\` on the coordinator's machine writes the file for --identity.

Examples:
  convsweep worker                                                    # the coordinator of this machine
  convsweep worker --coordinator 10.0.0.5:7440 --identity gpu1.pem --lanes 8`,
    )
    .action(async (options: Record<string, string>, command: Command) => {
      const { options: globals } = contextOf(command);
      const running = globals.coordinator === null ? await findRunning(globals.store) : null;
      const address = globals.coordinator ?? running?.grpc ?? "127.0.0.1:7440";
      const tlsFiles = globals.coordinator === null ? (running?.tlsFiles ?? globals.tlsFiles) : globals.tlsFiles;
      // An identity for another machine brings its token; this machine's own does not.
      const ownToken =
        globals.coordinator !== null && tlsFiles.identity !== null ? null : join(globals.store, "worker.token");
      const token = globals.tokenFile ?? ownToken;
      const passed = ["name", "devices", "lanes", "threads", "data", "logLevel"].flatMap((name) => {
        const value = options[name];
        return value === undefined ? [] : [`--${name === "logLevel" ? "log-level" : name}`, value];
      });
      process.exitCode = await runWorkerProgram([
        "join",
        "--coordinator",
        address,
        ...(token === null ? [] : ["--token-file", token]),
        ...tlsArguments(tlsFiles),
        ...(globals.insecurePlaintext ? ["--insecure-plaintext"] : []),
        ...passed,
      ]);
    });

  program
    .command("devices")
    .description("what this machine can train on")
    .addHelpText("after", "\nExample:\n  convsweep devices --json")
    .action(async (_options: object, command: Command) => {
      process.exitCode = await runWorkerProgram(["devices", ...(contextOf(command).options.json ? ["--json"] : [])]);
    });
}
