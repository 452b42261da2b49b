/**
 * `data list | fetch | check`: the data sets on this machine.
 *
 * Guarantees: results go to standard output (with `--json` one JSON object), progress and errors to standard error; exit
 * code 0 when all is well (warnings included), 1 when a set is missing, wrong or could not be fetched, 2 for a command
 * that makes no sense.
 *
 * Does not exit the process: the caller does with the code returned.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { DatasetSpec } from "../../native/recipe.js";
import { type ConvsweepError, toConvsweepError } from "../../proto/contract.js";
import { dataFolder } from "./cache.js";
import { type Check, checkDataset, type Survey, survey } from "./check.js";
import { checkSpec } from "./check-own.js";
import { DOWNLOAD_DEFAULTS, type DownloadOptions } from "./download.js";
import { fetchDataset } from "./fetch.js";
import { type Meter, meter, size } from "./meter.js";
import { PUBLISHED, PUBLISHED_NAMES, type PublishedDataset } from "./publishers.js";

/** Where the command reads and writes; tests give their own. */
export interface DataIo {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Standard error is a terminal: progress may rewrite its line. */
  readonly terminal: boolean;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal | null;
  readonly datasets: Readonly<Record<string, PublishedDataset>>;
  readonly download: Pick<DownloadOptions, "idleMillis" | "rounds" | "backoffMillis">;
}

export const DATA_USAGE = `usage: convsweep data list                    what is there, and what could be fetched
       convsweep data fetch NAME... | all     download, check and unpack (goes on where it was interrupted)
       convsweep data check [NAME...]         read every byte and compare with the publisher's checksums

  NAME        ${PUBLISHED_NAMES.join(", ")}
  --data DIR  the data folder (else CONVSWEEP_DATA, else ~/.cache/convsweep/data)
  --json      one JSON object instead of text

example: convsweep data fetch mnist
`;

const SYNTHETIC = { name: "synthetic-digits", title: "generated digits, 28x28 grey", state: "generated" } as const;

/** The process's own streams and environment. */
export function processIo(signal: AbortSignal | null): DataIo {
  return {
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    terminal: process.stderr.isTTY === true,
    env: process.env,
    signal,
    datasets: PUBLISHED,
    download: DOWNLOAD_DEFAULTS,
  };
}

interface Command {
  readonly names: readonly string[];
  /** With check: data sets that a sweep file describes. */
  readonly specs: readonly DatasetSpec[];
  readonly dir: string;
  readonly json: boolean;
  readonly io: DataIo;
}

/** Runs `data ARGS...` and answers the exit code. */
export async function dataCommand(args: readonly string[], io: DataIo): Promise<number> {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(args);
  } catch (error) {
    io.err(`${(error as Error).message}\n${DATA_USAGE}`);
    return 2;
  }
  const { values, positionals } = parsed;
  const [verb, ...names] = positionals;
  if (values.help === true) {
    io.out(DATA_USAGE);
    return 0;
  }
  const specs = values.specs === undefined ? [] : (JSON.parse(readFileSync(values.specs, "utf8")) as DatasetSpec[]);
  const command = { names, specs, dir: dataFolder(values.data ?? null, io.env), json: values.json === true, io };
  const unknown = names.find((name) => !Object.hasOwn(io.datasets, name) && !(name === "all" && verb === "fetch"));
  if (unknown !== undefined) {
    const generated = unknown === SYNTHETIC.name ? " (it is generated and needs no files)" : "";
    io.err(
      `no files belong to a data set ${JSON.stringify(unknown)}${generated}; known: ${Object.keys(io.datasets).join(", ")}\n`,
    );
    return 2;
  }
  if (verb === "list" && names.length === 0) return list(command);
  if (verb === "check") return check(command);
  if (verb === "fetch" && names.length > 0) return fetchAll(command);
  const wrong =
    verb === "fetch"
      ? "data fetch needs a name"
      : verb === undefined
        ? null
        : `no such command: data ${positionals.join(" ")}`;
  io.err(`${wrong === null ? "" : `${wrong}\n`}${DATA_USAGE}`);
  return 2;
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      data: { type: "string" },
      json: { type: "boolean" },
      // What the coordinator's command line made of sweep files and paths: a file of DatasetSpecs.
      specs: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
}

function chosen({ names, io }: Command): readonly PublishedDataset[] {
  const all = names.length === 0 || names.includes("all");
  return Object.entries(io.datasets).flatMap(([name, dataset]) => (all || names.includes(name) ? [dataset] : []));
}

async function list(command: Command): Promise<number> {
  const { dir, io, json } = command;
  const rows: Survey[] = [];
  for (const dataset of chosen(command)) rows.push(await survey(dataset, dir));
  if (json) {
    io.out(`${JSON.stringify({ folder: dir, datasets: [...rows, SYNTHETIC] })}\n`);
    return 0;
  }
  io.out(`data folder: ${dir}\n`);
  for (const row of rows) {
    const where =
      row.folder === null
        ? `missing   \`convsweep data fetch ${row.name}\` (${size(row.downloadBytes)})`
        : `present   ${row.folder} (${size(row.bytes ?? 0)})`;
    io.out(`  ${row.name.padEnd(17)}${where}\n`);
  }
  io.out(`  ${SYNTHETIC.name.padEnd(17)}generated, needs no files\n`);
  return 0;
}

async function check(command: Command): Promise<number> {
  const { dir, io, json, names, specs } = command;
  const results: Check[] = [];
  const named = specs.length > 0 && names.length === 0 ? [] : chosen(command);
  const checks = [
    ...named.map((dataset) => () => checkDataset(dataset, dir)),
    ...specs.map((spec) => () => checkSpec(spec, dir)),
  ];
  for (const look of checks) {
    const result = await look();
    results.push(result);
    if (json) continue;
    io.out(`${result.name.padEnd(17)}${result.state}${result.folder === null ? "" : `   ${result.folder}`}\n`);
    for (const message of result.messages) io.out(`  ${message}\n`);
  }
  if (json) io.out(`${JSON.stringify({ folder: dir, datasets: results })}\n`);
  // Asked for nothing in particular, what is missing is not a failure.
  const asked = names.length + specs.length > 0;
  const bad = results.some(({ state }) => state === "wrong" || (state === "missing" && asked));
  return bad ? 1 : 0;
}

async function fetchAll(command: Command): Promise<number> {
  const { dir, io, json } = command;
  const results: Record<string, unknown>[] = [];
  let failed = false;
  for (const dataset of chosen(command)) {
    const progress: Meter = meter(io.err, io.terminal, () => performance.now());
    try {
      const { folder, downloaded } = await fetchDataset(dataset, dir, {
        ...io.download,
        signal: io.signal,
        onProgress: ({ file, received, total }) => progress.show(file, received, total),
        onTrouble: (text) => progress.say(text),
      });
      progress.end();
      results.push({ name: dataset.name, state: downloaded > 0 ? "fetched" : "present", folder, downloaded });
      if (!json)
        io.out(
          `${dataset.name}: ${downloaded > 0 ? `fetched ${size(downloaded)}` : "is there already"}, in ${folder}\n`,
        );
    } catch (thrown) {
      progress.end();
      failed = true;
      const error: ConvsweepError = toConvsweepError(thrown);
      results.push({ name: dataset.name, state: "failed", error: error.toData() });
      io.err(`${dataset.name}: ${error.message}\n`);
      if (io.signal?.aborted === true) break;
    }
  }
  if (json) io.out(`${JSON.stringify({ folder: dir, datasets: results })}\n`);
  return failed ? 1 : 0;
}
