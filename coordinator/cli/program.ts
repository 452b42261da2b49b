/**
 * The command line: verbs, help, exit codes. main.ts starts it. 0 done, 1 a failed run, 2 bad input, 65 a damaged store, 70 a
 * fault of its own that nobody caught, 74 a disk that failed, 75 a store that another process has open; every error is one message on standard error.
 */
import { Command, CommanderError } from "commander";
import { ConvsweepError, PROGRAM_VERSION, toConvsweepError } from "../../proto/contract.js";
import { addGlobalOptions } from "./context.js";

type AddVerbs = (program: Command) => void;

/** In the order of the help. A command line pays for the modules of its own verb alone. */
export const VERBS: readonly { readonly names: readonly string[]; readonly load: () => Promise<AddVerbs> }[] = [
  { names: ["run"], load: async () => (await import("./run.js")).addRun },
  { names: ["up"], load: async () => (await import("./up.js")).addUp },
  { names: ["worker", "devices"], load: async () => (await import("./worker-verbs.js")).addWorkerVerbs },
  { names: ["data"], load: async () => (await import("./data.js")).addData },
  { names: ["plan"], load: async () => (await import("./plan.js")).addPlan },
  { names: ["page"], load: async () => (await import("./page.js")).addPage },
  { names: ["sweeps", "sweep"], load: async () => (await import("./sweep.js")).addSweep },
  { names: ["trials"], load: async () => (await import("./trials.js")).addTrials },
  { names: ["trial"], load: async () => (await import("./trial.js")).addTrial },
  { names: ["write"], load: async () => (await import("./write.js")).addWrite },
  { names: ["predict"], load: async () => (await import("./predict.js")).addPredict },
  { names: ["query"], load: async () => (await import("./query.js")).addQuery },
  { names: ["workers"], load: async () => (await import("./workers.js")).addWorkers },
  { names: ["events"], load: async () => (await import("./events.js")).addEvents },
  { names: ["doctor"], load: async () => (await import("./doctor.js")).addDoctor },
  { names: ["backup"], load: async () => (await import("./backup.js")).addBackup },
  { names: ["restore"], load: async () => (await import("./restore.js")).addRestore },
  { names: ["certs"], load: async () => (await import("./certs.js")).addCerts },
  { names: ["token"], load: async () => (await import("./token.js")).addToken },
];

const BAD_INPUT: ReadonlySet<string> = new Set([
  "BAD_INPUT",
  "NOT_FOUND",
  "WRONG_STATE",
  "TOO_LARGE",
  "CONFLICT",
  "FORBIDDEN",
  "UNAUTHENTICATED",
]);

/** As in sysexits.h: EX_DATAERR, EX_IOERR, EX_TEMPFAIL. */
const OF_THE_STORE: ReadonlyMap<string, number> = new Map([
  ["CORRUPT", 65],
  ["SYNC_FAILED", 74],
  ["IO_ERROR", 74],
  ["DISK_FULL", 74],
  ["READ_ONLY", 74],
  ["IN_USE", 75],
]);

/** Without verbs; what it has to say about a wrong command line is said by `report`, like every other error. */
function emptyProgram(): Command {
  const program = new Command("convsweep").exitOverride().configureOutput({ outputError: () => undefined });
  addGlobalOptions(program);
  return program;
}

/** With the verb that `args` name, or all of them where they name none that there is. */
async function makeProgram(args: readonly string[]): Promise<Command> {
  const verb = emptyProgram().parseOptions([...args]).operands[0];
  const named = VERBS.filter(({ names }) => names.some((name) => name === verb));
  const program = emptyProgram();
  program
    .description(
      "Searches hyperparameters of convolutional networks: trials train together, every result can be repeated to the bit.",
    )
    .version(PROGRAM_VERSION)
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      "after",
      `
Start here:
  convsweep run examples/quickstart.yaml --keep    a first sweep, nothing to download
  convsweep trials 1                               its leaderboard
  convsweep up --workers 1                         a coordinator that stays

Exit codes: 0 done, 1 a run failed, 2 bad input, 65 the store is damaged, 70 a fault of convsweep itself,
74 its disk failed, 75 another process has it open.`,
    );
  for (const { load } of named.length > 0 ? named : VERBS) (await load())(program);
  return program;
}

/** What is wrong with a command line, in the words of commander. */
function usageError(thrown: CommanderError): ConvsweepError {
  const message = thrown.message.replace(/^error: /, "").replace(/\s*\n\s*/g, " ");
  return new ConvsweepError("BAD_INPUT", `${message} (--help shows what there is)`);
}

/** What a parameter of a sweep may be; other messages say by themselves what was expected. */
function parameterHint({ path, expected, found }: ConvsweepError): string {
  if (!path?.startsWith("parameters.") || expected === null) return "";
  return `; expected ${expected}${found === null ? "" : `, found ${found}`}`;
}

function report(error: ConvsweepError, json: boolean): void {
  if (json) process.stderr.write(`${JSON.stringify({ error: error.toData() })}\n`);
  else {
    process.stderr.write(`convsweep: ${error.message}${parameterHint(error)}\n`);
    if (error.code === "INTERNAL" && error.cause instanceof Error) process.stderr.write(`${error.cause.stack ?? ""}\n`);
  }
}

// Whatever is written is its owner's alone unless a file says otherwise.
process.umask(0o077);
/** Runs one command line, without the program's own name; answers the exit code. Never throws. */
export async function runCommandLine(args: readonly string[]): Promise<number> {
  try {
    process.exitCode = 0;
    const program = await makeProgram(args);
    await program.parseAsync([...args], { from: "user" });
    // Verbs of the worker program set it to that program's own.
    return Number(process.exitCode);
  } catch (thrown) {
    if (thrown instanceof CommanderError && (thrown.exitCode === 0 || thrown.code === "commander.help")) {
      // Help and version, which are no error when they were asked for; a verb that lacks its second word shows help too.
      return thrown.exitCode === 0 ? 0 : 2;
    }
    const error = thrown instanceof CommanderError ? usageError(thrown) : toConvsweepError(thrown);
    report(error, args.includes("--json"));
    return OF_THE_STORE.get(error.code) ?? (BAD_INPUT.has(error.code) ? 2 : 1);
  }
}
