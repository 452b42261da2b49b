/** `convsweep trial show|rerun|enqueue|stop`. */
import type { Command } from "commander";
import { ConvsweepError, parseTrialId } from "../../proto/contract.js";
import { type ArtifactLine, artifactsOf, confusionIn, saveArtifacts, textOf } from "./artifacts.js";
import { confusionLines } from "./confusion.js";
import { ask, withAdmin } from "./connect.js";
import { type Context, contextOf, parseSweepNumber } from "./context.js";
import { formatDuration, formatMetric, formatParameter } from "./format.js";
import { addLocalOptions } from "./local-options.js";
import { type RerunOptions, rerunTrial } from "./rerun.js";
import { asObjects, writeRows } from "./rows.js";

export function addTrial(program: Command): void {
  const trial = program
    .command("trial")
    .description("show, repeat, add or stop a trial")
    .addHelpText("after", "\nExamples:\n  convsweep trial show 1/3\n  convsweep trial rerun 1/3 --verify");

  trial
    .command("show")
    .description("one trial: parameters, every epoch, attempts")
    .argument("<id>", "SWEEP/NUMBER, such as 3/17", parseTrial)
    .option("--save <dir>", "write the trial's files, such as pictures, into this folder")
    .addHelpText("after", "\nExamples:\n  convsweep trial show 1/3\n  convsweep trial show 1/3 --save pictures")
    .action(async (id: string, { save }: { save?: string }, command: Command) =>
      showTrial(contextOf(command), id, save ?? null),
    );

  const rerun = trial
    .command("rerun")
    .description("train a trial again")
    .argument("<id>", "SWEEP/NUMBER", parseTrial)
    .option("--verify", "train it alone and compare every report and the weights to the bit")
    .option("--detach", "do not wait for the result");
  addLocalOptions(rerun)
    .addHelpText(
      "after",
      "\nWith no coordinator running, one is started for this with a local worker.\n\nExample:\n  convsweep trial rerun 1/3 --verify",
    )
    .action(async (id: string, options: RerunOptions, command: Command) => {
      process.exitCode = await rerunTrial(contextOf(command), id, options);
    });

  trial
    .command("enqueue")
    .description("add a trial with parameters of your choice to a sweep")
    .argument("<sweep>", "the sweep's number", parseSweepNumber)
    .argument("[parameters...]", "NAME=VALUE; those left out are drawn")
    .addHelpText("after", "\nExample:\n  convsweep trial enqueue 1 learning_rate=0.003 l2=1e-4")
    .action(async (sweep: number, pairs: string[], _options: object, command: Command) => {
      const context = contextOf(command);
      const parameters = parsePairs(pairs);
      const added = await withAdmin(context, (client) => client.enqueueTrial(sweep, parameters));
      if (context.output.json) context.output.data({ trial: added });
      else context.output.line(`trial ${added} is queued`);
    });

  trial
    .command("stop")
    .description("end a trial; what it reported stays")
    .argument("<id>", "SWEEP/NUMBER", parseTrial)
    .addHelpText("after", "\nExample:\n  convsweep trial stop 1/3")
    .action(async (id: string, _options: object, command: Command) => {
      const context = contextOf(command);
      await withAdmin(context, (client) => client.stopTrial(id));
      if (context.output.json) context.output.data({ trial: id, action: "stop" });
      else context.output.line(`trial ${id}: stopping`);
    });
}

/** `SWEEP/NUMBER` as people type it. */
export function parseTrial(text: string): string {
  if (parseTrialId(text) === null) {
    throw new ConvsweepError("BAD_INPUT", `expected a trial such as 3/17 (sweep/number), found \`${text}\``, {
      expected: "SWEEP/NUMBER",
      found: text,
    });
  }
  return text;
}

/** Every NAME=VALUE, each name once. */
function parsePairs(pairs: readonly string[]): Record<string, number | string | boolean> {
  const parameters = new Map<string, number | string | boolean>();
  for (const [name, value] of pairs.map(parsePair)) {
    if (parameters.has(name)) {
      throw new ConvsweepError("BAD_INPUT", `${name} is given twice`, { expected: "each name once" });
    }
    parameters.set(name, value);
  }
  return Object.fromEntries(parameters);
}

/** `learning_rate=0.003`; numbers and true/false are taken as such, anything else as text. */
function parsePair(text: string): [string, number | string | boolean] {
  const at = text.indexOf("=");
  if (at < 1) {
    throw new ConvsweepError("BAD_INPUT", `expected NAME=VALUE such as learning_rate=0.003, found \`${text}\``, {
      expected: "NAME=VALUE",
      found: text,
    });
  }
  const value = text.slice(at + 1);
  if (value === "true" || value === "false") return [text.slice(0, at), value === "true"];
  const number = Number(value);
  return [text.slice(0, at), value.trim() !== "" && Number.isFinite(number) ? number : value];
}

async function showTrial(context: Context, id: string, saveTo: string | null): Promise<void> {
  const { output } = context;
  const [row] = asObjects(await ask(context, "SELECT * FROM trials WHERE id = ?", [id]));
  if (!row) {
    throw new ConvsweepError("NOT_FOUND", `there is no trial ${id}; \`${context.command} trials\` lists them`, {
      found: id,
    });
  }
  const reports = await ask(
    context,
    "SELECT attempt, epoch, metric, value FROM reports WHERE trial = ? ORDER BY attempt, epoch",
    [id],
  );
  const attempts = await ask(context, "SELECT * FROM attempts WHERE trial = ? ORDER BY token", [id]);
  const artifacts = await artifactsOf(context, id);
  const saved = saveTo === null ? [] : await saveArtifacts(context, artifacts, saveTo);
  const parameters = JSON.parse(String(row["params"])) as Record<string, number | string | boolean>;
  if (output.json) {
    output.data({
      ...row,
      params: parameters,
      metrics: JSON.parse(String(row["metrics"])),
      reports: asObjects(reports),
      attempts: asObjects(attempts),
      artifacts,
      confusions: (await Promise.all(artifacts.map((one) => confusionIn(context, one)))).filter((one) => one !== null),
      saved,
    });
    return;
  }
  const wall = typeof row["wall_seconds"] === "number" ? ` in ${formatDuration(row["wall_seconds"] * 1000)}` : "";
  output.line(`${output.paint.bold(`trial ${id}`)}  ${row["state"]}${row["cause"] ? ` (${row["cause"]})` : ""}${wall}`);
  for (const [name, value] of Object.entries(parameters)) output.line(`  ${name} = ${formatParameter(value)}`);
  if (row["weights_hash"]) output.line(output.paint.dim(`  weights  ${row["weights_hash"]}`));
  if (row["fingerprint"]) output.line(output.paint.dim(`  engine   ${row["fingerprint"]}`));
  if (row["verified_detail"]) output.line(`  verified ${row["verified_detail"]}`);
  const table = epochTable(reports.rows);
  if (table.rows.length > 0) {
    output.line();
    writeRows(output, table, "table");
  }
  if (attempts.rows.length > 1) {
    output.line();
    writeRows(output, attempts, "table");
  }
  if (artifacts.length > 0) {
    output.line();
    const rows = artifacts.map(({ id: number, name, epoch, media_type, bytes }) => [
      number,
      name,
      epoch || null,
      media_type,
      bytes,
    ]);
    writeRows(output, { columns: ["file", "name", "epoch", "type", "bytes"], rows, truncated: false }, "table");
  }
  for (const artifact of artifacts) {
    const lines = await linesOf(context, artifact);
    if (lines === null) continue;
    output.line();
    output.line(output.paint.bold(artifact.name));
    for (const line of lines) output.line(line);
  }
  if (saveTo !== null) output.line(`${saved.length} files written to ${saveTo}`);
}

/** What a file says in words and numbers; `null` for pictures and weights. */
async function linesOf(context: Context, artifact: ArtifactLine): Promise<readonly string[] | null> {
  const confusion = await confusionIn(context, artifact);
  if (confusion !== null) return confusionLines(confusion, context.output.columns);
  const text = await textOf(context, artifact);
  // Characters that a terminal would obey are not the text's to send.
  return text === null ? null : [text.replace(/[^\P{Cc}\n\t]/gu, " ").trim()];
}

/** One row an epoch, one column a metric; attempts one after another. */
function epochTable(rows: readonly (readonly unknown[])[]): {
  columns: string[];
  rows: unknown[][];
  truncated: boolean;
} {
  const metrics = [...new Set(rows.map((row) => String(row[2])))];
  const several = new Set(rows.map((row) => row[0])).size > 1;
  const byEpoch = new Map<string, unknown[]>();
  for (const [attempt, epoch, metric, value] of rows) {
    const key = `${attempt} ${epoch}`;
    const cells = byEpoch.get(key) ?? [...(several ? [attempt] : []), epoch, ...metrics.map(() => null)];
    const shown =
      typeof value === "number" && metric !== "images_per_second" && metric !== "learning_rate"
        ? formatMetric(value)
        : value;
    cells[(several ? 2 : 1) + metrics.indexOf(String(metric))] = shown;
    byEpoch.set(key, cells);
  }
  return {
    columns: [...(several ? ["attempt"] : []), "epoch", ...metrics],
    rows: [...byEpoch.values()],
    truncated: false,
  };
}
