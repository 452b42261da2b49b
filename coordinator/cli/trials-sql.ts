/**
 * The question behind `convsweep trials`: drawn parameters and metrics stand as columns beside those of the view, so that
 * `--where "learning_rate < 0.01 AND val_accuracy > 0.98"` and `--sort l2` work by name. Pure.
 */
import { ConvsweepError } from "../../proto/contract.js";

/** Columns of the view `trials` that the table shows when nothing else is asked. */
const SHOWN = ["id", "state", "best_value", "best_epoch", "epochs"] as const;
const VIEW_COLUMNS = new Set([
  "id",
  "sweep",
  "number",
  "state",
  "cause",
  "origin",
  "params",
  "best_value",
  "best_epoch",
  "last_value",
  "metrics",
  "epochs",
  "attempts",
  "wall_seconds",
  "device",
  "worker",
  "seed",
  "weights_hash",
  "fingerprint",
  "verified",
  "created_at",
  "started_at",
  "ended_at",
]);

const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`;
const quoteText = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export interface TrialsQuestion {
  readonly sweep: number | null;
  readonly parameters: readonly string[];
  readonly metrics: readonly string[];
  readonly where: string | null;
  /** A column; `-` before it turns the order round. `null`: best first by the sweep's goal, or newest first. */
  readonly sort: string | null;
  readonly goal: "minimize" | "maximize" | null;
  readonly limit: number;
}

export interface Sql {
  readonly sql: string;
  readonly parameters: readonly (string | number)[];
  /** What a filter or an order may name. */
  readonly names: readonly string[];
}

export function trialsSql(question: TrialsQuestion): Sql {
  const metrics = question.metrics.filter((name) => !question.parameters.includes(name) && !VIEW_COLUMNS.has(name));
  const extract = (column: string, name: string): string =>
    `json_extract(${column}, ${quoteText(`$."${name}"`)}) AS ${quoteName(name)}`;
  const inner = [
    "SELECT trials.*",
    ...question.parameters.filter((name) => !VIEW_COLUMNS.has(name)).map((name) => extract("params", name)),
    ...metrics.map((name) => extract("metrics", name)),
  ].join(", ");
  const known = new Set([...VIEW_COLUMNS, ...question.parameters, ...metrics]);
  // A parameter that is named like a column (`epochs`) is not shown twice: the column says the same of a trial.
  const drawn = question.parameters.filter((name) => !VIEW_COLUMNS.has(name));
  const shown = [...SHOWN, ...drawn, "wall_seconds", "origin", "worker", "cause"].map(quoteName).join(", ");
  const parameters: (string | number)[] = [];
  let from = `${inner} FROM trials`;
  if (question.sweep !== null) {
    from += " WHERE sweep = ?";
    parameters.push(question.sweep);
  }
  const where = question.where === null ? "" : ` WHERE (${question.where}\n)`;
  parameters.push(question.limit);
  return {
    sql: `SELECT ${shown} FROM (${from})${where} ORDER BY ${order(question, known)} LIMIT ?`,
    parameters,
    names: [...known],
  };
}

function order(question: TrialsQuestion, known: ReadonlySet<string>): string {
  if (question.sort === null) {
    if (question.goal === null) return "sweep DESC, number DESC";
    // The page's order: proto/leaderboard.ts.
    const group = "CASE WHEN state IN ('failed', 'lost', 'cancelled') THEN 2 ELSE best_value IS NULL END";
    const ranked = (column: string): string => `iif((${group}) = 0, ${column}, NULL)`;
    const direction = question.goal === "maximize" ? "DESC" : "ASC";
    return `${group}, ${ranked("best_value")} ${direction}, ${ranked("best_epoch")}, number`;
  }
  const down = question.sort.startsWith("-");
  const name = down ? question.sort.slice(1) : question.sort;
  if (!known.has(name)) {
    throw new ConvsweepError("BAD_INPUT", `--sort: no column \`${name}\`; there are ${[...known].join(", ")}`, {
      path: "--sort",
      expected: "a column of trials, a parameter or a metric",
      found: name,
    });
  }
  return `${quoteName(name)} IS NULL, ${quoteName(name)} ${down ? "DESC" : "ASC"}, sweep, number`;
}
