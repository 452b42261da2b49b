#!/usr/bin/env node
/**
 * The command line: verbs, help, exit codes. 0 done, 1 a failed run, 2 bad input; every error is one message on standard
 * error.
 */
import { Command, CommanderError } from "commander";
import { type ConvsweepError, PROGRAM_VERSION, toConvsweepError } from "../../proto/contract.js";
import { addBackup } from "./backup.js";
import { addGlobalOptions } from "./context.js";
import { addDoctor } from "./doctor.js";
import { endWithReader } from "./output.js";
import { addPage } from "./page.js";
import { addPlan } from "./plan.js";
import { addQuery } from "./query.js";
import { addRun } from "./run.js";
import { addSweep } from "./sweep.js";
import { addTrial } from "./trial.js";
import { addTrials } from "./trials.js";
import { addUp } from "./up.js";
import { addWorkerVerbs } from "./worker-verbs.js";
import { addWorkers } from "./workers.js";

const BAD_INPUT: ReadonlySet<string> = new Set(["BAD_INPUT", "NOT_FOUND", "WRONG_STATE", "TOO_LARGE", "CONFLICT"]);

function makeProgram(): Command {
  const program = new Command("convsweep");
  program
    .description(
      "Searches hyperparameters of convolutional networks: trials train together, every result can be repeated to the bit.",
    )
    .version(PROGRAM_VERSION)
    .showSuggestionAfterError()
    .showHelpAfterError("(--help shows what there is)")
    .exitOverride()
    .addHelpText(
      "after",
      `
Start here:
  convsweep run examples/quickstart.yaml --keep    a first sweep, nothing to download
  convsweep trials 1                               its leaderboard
  convsweep up --workers 1                         a coordinator that stays

Exit codes: 0 done, 1 a run failed, 2 bad input.`,
    );
  addGlobalOptions(program);
  addRun(program);
  addUp(program);
  addWorkerVerbs(program);
  addPlan(program);
  addPage(program);
  addSweep(program);
  addTrials(program);
  addTrial(program);
  addQuery(program);
  addWorkers(program);
  addDoctor(program);
  addBackup(program);
  for (const command of program.commands) {
    command.exitOverride();
    for (const inner of command.commands) inner.exitOverride();
  }
  return program;
}

function report(error: ConvsweepError): void {
  if (process.argv.includes("--json")) process.stderr.write(`${JSON.stringify({ error: error.toData() })}\n`);
  else {
    process.stderr.write(`convsweep: ${error.message}\n`);
    if (error.code === "INTERNAL" && error.cause instanceof Error) process.stderr.write(`${error.cause.stack ?? ""}\n`);
  }
}

endWithReader();
try {
  await makeProgram().parseAsync();
} catch (thrown) {
  if (thrown instanceof CommanderError) {
    // Commander has printed its message; help and version are no error.
    process.exitCode = thrown.exitCode === 0 ? 0 : 2;
  } else {
    const error = toConvsweepError(thrown);
    report(error);
    process.exitCode = BAD_INPUT.has(error.code) ? 2 : 1;
  }
}
