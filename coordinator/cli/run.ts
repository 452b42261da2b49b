/**
 * `convsweep run FILE`: submit a sweep and follow it to its end.
 *
 * With a coordinator running for the store (or named with --coordinator) the sweep goes there; otherwise one is started
 * in this process with local workers. Either way everything goes over the admin service.
 */
import { readFileSync, statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { type Command, Option } from "commander";
import type { Recipe } from "../../native/recipe.js";
import { ConvsweepError, LIMITS } from "../../proto/contract.js";
import { compileSweep } from "../recipe/compile.js";
import type { AdminClient } from "../shell/admin-client.js";
import { findCoordinator, openClient } from "./connect.js";
import { type Context, contextOf, parseCount } from "./context.js";
import { type Embedded, withEmbedded } from "./embedded.js";
import { followSweep } from "./follow.js";
import { aborted, onInterrupt } from "./interrupt.js";
import { addLocalOptions, checkLocalDevices, type LocalOptions, localWorkerArguments } from "./local-options.js";
import { patientFeed } from "./patient-feed.js";
import { summaryLines } from "./summary.js";
import { captureWorkerProgram } from "./worker-process.js";

interface Options extends LocalOptions {
  readonly keep?: true;
  readonly detach?: true;
  readonly workers: number;
}

export function addRun(program: Command): void {
  const command = program
    .command("run")
    .description("run a sweep and follow it to the end")
    .argument("<file>", "a sweep file, YAML or JSON")
    .option("--keep", "go on serving the page until Ctrl-C")
    .addOption(new Option("--detach", "submit to a running coordinator and return at once").conflicts("keep"))
    .option("--workers <n>", "local workers when no coordinator runs", parseCount("--workers", 1, 64), 1);
  addLocalOptions(command)
    .addHelpText(
      "after",
      `
With no coordinator running for the store, one is started here with a local worker, and its page is served while the
sweep runs. Ctrl-C pauses the sweep and says how to go on; trials it interrupts are trained again.

Examples:
  convsweep run examples/quickstart.yaml --keep
  convsweep run sweep.yaml --json | tail -1
  convsweep run sweep.yaml --devices cuda:0,cpu
  convsweep run sweep.yaml --detach          # needs \`convsweep up\``,
    )
    .action(async (file: string, options: Options, command: Command) => {
      process.exitCode = await run(contextOf(command), file, options);
    });
}

export function readSweepFile(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (!stat?.isFile()) {
    const what = stat?.isDirectory() ? `${file} is a folder` : `there is no file ${file}`;
    throw new ConvsweepError("NOT_FOUND", `${what}; expected a sweep file`, { path: file, expected: "a sweep file" });
  }
  if (stat.size > LIMITS.sweepFileBytes) {
    throw new ConvsweepError(
      "TOO_LARGE",
      `${file} has ${stat.size} bytes; a sweep file has at most ${LIMITS.sweepFileBytes}`,
      { path: file },
    );
  }
  return readFileSync(file, "utf8");
}

async function run(context: Context, file: string, options: Options): Promise<number> {
  const text = readSweepFile(file);
  const running = await findCoordinator(context);
  if (running) {
    const client = openClient(context, running);
    try {
      return await submitAndFollow(context, client, file, text, options, null);
    } finally {
      client.close();
    }
  }
  if (options.detach) {
    throw new ConvsweepError(
      "UNAVAILABLE",
      `--detach needs a running coordinator; start one with \`${context.command} up\``,
    );
  }
  await checkLocalDevices(options);
  await requireData(context, file, text);
  return await runEmbedded(context, file, text, options);
}

/** The files that a local worker will need are there, or it is said now instead of by every trial. */
async function requireData(context: Context, file: string, text: string): Promise<void> {
  const { dataset } = compileSweep(text, basename(file), dirname(file)).spec.recipe as unknown as Recipe;
  if (dataset.text !== undefined || dataset.arrays !== undefined || dataset.folder !== undefined) return;
  const { folder, datasets } = JSON.parse(await captureWorkerProgram(["data", "list", "--json"])) as {
    readonly folder: string;
    readonly datasets: readonly { readonly name: string; readonly state: string }[];
  };
  if (datasets.find((set) => set.name === dataset.name)?.state !== "missing") return;
  throw new ConvsweepError(
    "NOT_FOUND",
    `data set ${dataset.name} is not in ${folder}; get it with \`${context.command} data fetch ${dataset.name}\`, or name the folder that holds it in CONVSWEEP_DATA`,
    { path: "dataset", expected: `the files of ${dataset.name} in ${folder}` },
  );
}

async function runEmbedded(context: Context, file: string, text: string, options: Options): Promise<number> {
  const local = { workers: options.workers, workerArguments: localWorkerArguments(options) };
  return await withEmbedded(context, local, (client, embedded) =>
    submitAndFollow(context, client, file, text, options, embedded),
  );
}

async function submitAndFollow(
  context: Context,
  client: AdminClient,
  file: string,
  text: string,
  options: Options,
  embedded: Embedded | null,
): Promise<number> {
  const { output, command } = context;
  const { sweep, warnings } = await client.submitSweep(basename(file), text, resolve(dirname(file)));
  for (const warning of warnings) output.notice(`warning: ${warning}`);
  const page = embedded?.coordinator.dashboardUrl ?? (await client.getStatus()).dashboard;
  if (output.json) output.data({ event: "submitted", sweep, page });
  else {
    output.line(`${output.paint.bold("convsweep")}  sweep ${sweep} from ${file}`);
    output.line(`page   ${output.paint.cyan(page)}`);
    output.line();
  }
  if (embedded) await sayOthers(context, client, sweep);
  if (options.detach) {
    output.line(`It runs on; see \`${command} trials ${sweep}\``);
    return 0;
  }

  let over = false;
  const interrupt = onInterrupt(output, () => {
    if (over) return "the sweep has ended; ending the page and the worker; Ctrl-C again ends at once";
    if (embedded) return "pausing the sweep and ending the worker; Ctrl-C again ends at once";
    return "leaving; the sweep runs on at its coordinator";
  });
  try {
    const stop = embedded ? AbortSignal.any([interrupt.signal, embedded.workers.gone]) : interrupt.signal;
    // One in this process too: a connection does not outlive a process that was stopped for a while.
    const feed = patientFeed(client, (text) => output.notice(text));
    const followed = await followSweep(sweep, feed, output, stop);
    over = followed.ended;
    if (stop.aborted && !followed.ended) {
      if (embedded) {
        await client.controlSweep(sweep, "pause");
        output.notice(
          `sweep ${sweep} is paused; go on with \`${command} up --workers 1\` and, beside it, \`${command} sweep resume ${sweep}\``,
        );
      }
      return interrupt.signal.aborted ? 130 : 1;
    }
    if (!followed.ended)
      throw new ConvsweepError("UNAVAILABLE", "the coordinator went away; the sweep is in its store");
    if (followed.summary) {
      if (output.json) output.data(followed.summary);
      else {
        output.line();
        for (const line of summaryLines(followed.summary, command, output.paint)) output.line(line);
      }
    }
    if (options.keep && embedded) {
      output.line();
      output.line(`Serving ${output.paint.cyan(embedded.coordinator.dashboardUrl)} until Ctrl-C.`);
      await aborted(interrupt.signal);
    }
    return followed.summary?.state === "completed" ? 0 : 1;
  } finally {
    interrupt.dispose();
  }
}

/** Sweeps that an earlier coordinator left unfinished go on with this one, and share its worker. */
async function sayOthers({ output, command }: Context, client: AdminClient, sweep: number): Promise<void> {
  const { rows } = await client.query("SELECT id, name FROM sweeps WHERE state = 'running' AND id <> ?", [sweep]);
  for (const [id, name] of rows)
    output.notice(
      `sweep ${id} (${name}) had not ended and goes on beside it; \`${command} sweep pause ${id}\` holds it`,
    );
}
