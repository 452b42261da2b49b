/**
 * The leaderboard's filter: text -> a test of a trial. Pure.
 *
 *   state:failed lr>0.001            both must hold
 *   state:running,leased             one of several
 *   l2:1e-5..1e-3   l2=0             a range, a value
 *   best>0.98 or (epoch<3 -worker:gpu)
 *   diverged                         a bare word: anywhere in id, state, cause, worker, device, names of choices
 *
 * Names are the columns' (here and in the view `trials` of queries), the parameters' and the metrics'; a parameter also goes by its initials (`lr`) or the start of
 * its name where that is unique. A comparison with a value that a trial does not have is false. Bad text gives a problem
 * in words, never an exception.
 */
import type { SweepRow, TrialRow } from "../../proto/feed.js";

export type TrialTest = (row: TrialRow) => boolean;

export type Filter =
  | { readonly test: TrialTest | null; readonly problem: null }
  | { readonly test: null; readonly problem: string };

type Value = number | string | boolean | null;
type Read = (row: TrialRow) => Value;

const FIELDS: Readonly<Record<string, Read>> = {
  state: (row) => row.state,
  id: (row) => row.id,
  trial: (row) => row.number,
  cause: (row) => row.cause,
  origin: (row) => row.origin,
  number: (row) => row.number,
  best: (row) => row.best,
  best_value: (row) => row.best,
  best_epoch: (row) => row.bestEpoch,
  last: (row) => row.last,
  last_value: (row) => row.last,
  epoch: (row) => row.epoch,
  epochs: (row) => row.epoch,
  attempts: (row) => row.attempts,
  worker: (row) => row.worker,
  device: (row) => row.device,
  seconds: wallSeconds,
  wall_seconds: wallSeconds,
};

function wallSeconds(row: TrialRow): number | null {
  return row.startedAt === null || row.endedAt === null ? null : (row.endedAt - row.startedAt) / 1000;
}

class Problem extends Error {}

export function parseFilter(
  text: string,
  sweep: Pick<SweepRow, "parameters" | "metric">,
  metrics: readonly string[],
): Filter {
  const tokens = tokenize(text);
  if (tokens.length === 0) return { test: null, problem: null };
  const names = new Names(sweep, metrics);
  let at = 0;

  const either = (): TrialTest => {
    const tests = [both()];
    while (tokens[at]?.toLowerCase() === "or") {
      at += 1;
      tests.push(both());
    }
    return tests.length === 1 && tests[0] ? tests[0] : (row) => tests.some((test) => test(row));
  };
  const both = (): TrialTest => {
    const tests: TrialTest[] = [];
    while (at < tokens.length && tokens[at] !== ")" && tokens[at]?.toLowerCase() !== "or") {
      // Terms beside each other must all hold; `and` between them says the same.
      if (tests.length > 0 && tokens[at]?.toLowerCase() === "and" && at + 1 < tokens.length) at += 1;
      tests.push(one());
    }
    if (tests.length === 0) throw new Problem("something is missing beside `or` or between brackets");
    return tests.length === 1 && tests[0] ? tests[0] : (row) => tests.every((test) => test(row));
  };
  const one = (): TrialTest => {
    const token = tokens[at] ?? "";
    at += 1;
    if (token === "-(" || token === "(") {
      const inner = either();
      if (tokens[at] !== ")") throw new Problem("a bracket is not closed");
      at += 1;
      return token === "(" ? inner : (row) => !inner(row);
    }
    if (token.length > 1 && token.startsWith("-")) {
      const inner = term(token.slice(1), names);
      return (row) => !inner(row);
    }
    return term(token, names);
  };

  try {
    const test = either();
    if (at < tokens.length) throw new Problem("a bracket is closed that was not opened");
    return { test, problem: null };
  } catch (error) {
    if (error instanceof Problem) return { test: null, problem: error.message };
    throw error;
  }
}

/** Words and brackets; quotes keep spaces and brackets together, a comparison may stand between blanks as in SQL. */
function tokenize(text: string): readonly string[] {
  const tight = text.replace(/("[^"]*"?)|\s*(>=|<=|!=|=|>|<)\s*/g, (_, quoted?: string, operator?: string) =>
    quoted === undefined ? (operator ?? "") : quoted,
  );
  return tight.match(/-?\(|\)|(?:"[^"]*"?|[^\s()"])+/g) ?? [];
}

function term(token: string, names: Names): TrialTest {
  const match = /^([\p{L}_][\p{L}\p{N}_.\-/]*?)\s*(>=|<=|!=|=|:|>|<)(.*)$/u.exec(token);
  if (!match) return anywhere(unquoted(token).toLowerCase());
  const [, name = "", operator = "", raw = ""] = match;
  const wanted = unquoted(raw);
  const read = names.find(name);
  if (wanted === "") throw new Problem(`\`${name}${operator}\` lacks a value`);
  if (operator === ":") {
    const tests = wanted
      .split(",")
      .filter((part) => part !== "")
      .map((part) => matches(read, part.toLowerCase()));
    return (row) => tests.some((test) => test(row));
  }
  if (operator === "=") return equals(read, wanted);
  if (operator === "!=") {
    const same = equals(read, wanted);
    return (row) => !same(row);
  }
  const limit = Number(wanted);
  if (Number.isNaN(limit)) throw new Problem(`\`${name} ${operator}\` needs a number, not \`${wanted}\``);
  return comparison(read, operator, limit);
}

function comparison(read: Read, operator: string, limit: number): TrialTest {
  const holds = (value: number): boolean => {
    if (operator === ">") return value > limit;
    if (operator === "<") return value < limit;
    return operator === ">=" ? value >= limit : value <= limit;
  };
  return (row) => {
    const value = read(row);
    return typeof value === "number" && holds(value);
  };
}

/** A number equals when it is the same to the digits that people write: one part in a million. */
function equals(read: Read, wanted: string): TrialTest {
  const number = Number(wanted);
  const word = wanted.toLowerCase();
  return (row) => {
    const value = read(row);
    if (typeof value === "number") {
      return !Number.isNaN(number) && Math.abs(value - number) <= 1e-6 * Math.abs(number);
    }
    return value !== null && String(value).toLowerCase() === word;
  };
}

function matches(read: Read, wanted: string): TrialTest {
  const range = /^(.*)\.\.(.*)$/.exec(wanted);
  if (range) {
    const low = range[1] === "" ? Number.NEGATIVE_INFINITY : Number(range[1]);
    const high = range[2] === "" ? Number.POSITIVE_INFINITY : Number(range[2]);
    if (Number.isNaN(low) || Number.isNaN(high)) throw new Problem(`\`${wanted}\` is not a range of numbers`);
    return (row) => {
      const value = read(row);
      return typeof value === "number" && value >= low && value <= high;
    };
  }
  const same = equals(read, wanted);
  return (row) => {
    const value = read(row);
    return typeof value === "string" ? value.toLowerCase().includes(wanted) : same(row);
  };
}

function anywhere(word: string): TrialTest {
  return (row) =>
    [row.id, row.state, row.cause, row.origin, row.worker, row.device, ...Object.values(row.parameters)].some(
      (value) => typeof value === "string" && value.toLowerCase().includes(word),
    );
}

function unquoted(text: string): string {
  return text.replaceAll('"', "");
}

class Names {
  readonly #reads = new Map<string, Read>();
  readonly #parameters: readonly string[];

  constructor(sweep: Pick<SweepRow, "parameters" | "metric">, metrics: readonly string[]) {
    this.#parameters = sweep.parameters.map((parameter) => parameter.name);
    for (const name of metrics) this.#reads.set(name.toLowerCase(), (row) => row.metrics[name] ?? null);
    for (const [name, read] of Object.entries(FIELDS)) this.#reads.set(name, read);
    for (const name of this.#parameters) this.#reads.set(name.toLowerCase(), (row) => row.parameters[name] ?? null);
  }

  find(name: string): Read {
    const wanted = name.toLowerCase();
    const exact = this.#reads.get(wanted);
    if (exact) return exact;
    const initials = this.#parameters.filter((other) => initialsOf(other) === wanted);
    const starts = [...this.#reads.keys()].filter((other) => other.startsWith(wanted));
    const found = initials.length === 1 ? initials : starts;
    if (found.length === 1) return this.#reads.get((found[0] ?? "").toLowerCase()) ?? (() => null);
    if (found.length > 1) throw new Problem(`\`${name}\` could be ${found.join(", ")}`);
    throw new Problem(`no column is called \`${name}\`; there are ${[...this.#reads.keys()].join(", ")}`);
  }
}

function initialsOf(name: string): string {
  return name
    .split(/[_.]/)
    .map((word) => word.slice(0, 1))
    .join("")
    .toLowerCase();
}
