/**
 * Digests of what has ended, so that a bit that changes on the disk is found: SQLite checks the shape of its pages, not
 * the values in them.
 *
 * Of an attempt: the sum of the digests of its reports' rows modulo 2^32 and how many they are, so that their order does
 * not matter and a row more costs no look at the others. Of a trial: the CRC-32 of its row. A changed bit is missed once
 * in 2^32. Guarantees: what `add`, `attemptEnded` and `trialEnded` note is written with it, in the same transaction;
 * after `forget` nothing of one that was rolled back is remembered. Not here: when anybody looks (shell/examination.ts).
 */
import { crc32 } from "node:zlib";
import type { Database } from "better-sqlite3";
import type { TrialId } from "../../proto/contract.js";
import { TRIAL_COLUMNS } from "./statements.js";

/** A cell of SQLite. */
export type DigestCell = number | string | null;

interface Rows {
  count: number;
  digest: number;
}

const bits = new DataView(new ArrayBuffer(8));

/** Murmur3's mixing of 32 bits into a state (Appleby, public domain). */
function mix(state: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const mixed = state ^ k;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}

function mixNumber(state: number, value: number): number {
  // SQLite keeps no minus zero; the kind of a number tells it.
  bits.setFloat64(0, value + 0);
  return mix(mix(state, bits.getInt32(0)), bits.getInt32(4));
}

/** Of one row of `base_reports`, an unsigned number of 32 bits. */
export function reportDigest(
  epoch: number,
  metric: number,
  step: number,
  at: number,
  kind: number,
  value: number | null,
): number {
  let state = mix(mix(mix(0x9747b28c, epoch), metric), kind);
  state = mixNumber(mixNumber(state, step), at);
  state = value === null ? mix(state, 1) : mixNumber(state, value);
  state ^= state >>> 16;
  state = Math.imul(state, 0x85ebca6b);
  state ^= state >>> 13;
  state = Math.imul(state, 0xc2b2ae35);
  return (state ^ (state >>> 16)) >>> 0;
}

/** Of one row of `base_trials`, its cells as they are bound. */
export function trialDigest(cells: readonly DigestCell[]): number {
  return crc32(JSON.stringify(cells));
}

type ReportCells = [epoch: number, metric: number, step: number, at: number, kind: number, value: number | null];

/** Keeps the digests of one connection that writes. */
export class Digests {
  readonly #reports: (token: number) => Iterable<ReportCells>;
  readonly #sealed: (token: number) => Rows | undefined;
  readonly #seal: (token: number, rows: Rows) => void;
  readonly #sealTrial: (trial: TrialId, digest: number) => void;
  /** Of attempts that go on. */
  readonly #running = new Map<number, Rows>();
  readonly #ended = new Set<number>();

  constructor(db: Database) {
    const reports = db.prepare<[number], ReportCells>(REPORTS_OF).raw();
    const sealed = db.prepare<[number], Rows>("SELECT count, digest FROM base_report_digests WHERE attempt = ?");
    const seal = db.prepare<[number, number, number]>(`
      INSERT INTO base_report_digests (attempt, count, digest) VALUES (?, ?, ?)
      ON CONFLICT (attempt) DO UPDATE SET count = excluded.count, digest = excluded.digest`);
    const sealTrial = db.prepare<[string, number]>(`
      INSERT INTO base_trial_digests (trial, digest) VALUES (?, ?)
      ON CONFLICT (trial) DO UPDATE SET digest = excluded.digest`);
    this.#reports = (token) => reports.iterate(token);
    this.#sealed = (token) => sealed.get(token);
    this.#seal = (token, { count, digest }) => void seal.run(token, count, digest);
    this.#sealTrial = (trial, digest) => void sealTrial.run(trial, digest);
  }

  /** Before the first report of an attempt in a transaction is written. */
  begin(token: number): void {
    if (this.#running.has(token)) return;
    const sealed = this.#sealed(token);
    // What comes after the end, if anything ever does, is sealed again.
    if (sealed !== undefined) this.#ended.add(token);
    this.#running.set(token, sealed === undefined ? sum(this.#reports(token)) : { ...sealed });
  }

  /** A row that has been written, and was not there before. */
  add(token: number, digest: number): void {
    const rows = this.#running.get(token);
    if (rows === undefined) return;
    rows.count += 1;
    rows.digest = (rows.digest + digest) >>> 0;
  }

  attemptEnded(token: number): void {
    this.#ended.add(token);
  }

  trialEnded(trial: TrialId, cells: readonly DigestCell[]): void {
    this.#sealTrial(trial, trialDigest(cells));
  }

  /** At the end of a transaction. */
  write(): void {
    for (const token of this.#ended) {
      this.begin(token);
      this.#seal(token, this.#running.get(token) ?? { count: 0, digest: 0 });
      this.#running.delete(token);
    }
    this.#ended.clear();
  }

  /** Some of the rows that were to be written were there before. */
  recount(token: number): void {
    this.#running.set(token, sum(this.#reports(token)));
  }

  /** After a transaction that was rolled back. */
  forget(): void {
    this.#running.clear();
    this.#ended.clear();
  }
}

const REPORTS_OF = "SELECT epoch, metric, step, at, kind, value FROM base_reports WHERE attempt = ?";

function sum(rows: Iterable<ReportCells>): Rows {
  const total: Rows = { count: 0, digest: 0 };
  for (const row of rows) {
    total.count += 1;
    total.digest = (total.digest + reportDigest(...row)) >>> 0;
  }
  return total;
}

export interface Altered {
  /** `trial 1/3` or `reports of attempt 1/3#1`. */
  readonly what: string;
  readonly trial: string;
}

export interface DigestCheck {
  readonly attempts: number;
  readonly trials: number;
  readonly altered: readonly Altered[];
}

/** Compares everything that has a digest with it; reads every report of it. */
export function checkDigests(db: Database): DigestCheck {
  const altered: Altered[] = [];
  const reports = db.prepare<[number], ReportCells>(REPORTS_OF).raw();
  const attempts = db
    .prepare<[], Rows & { readonly token: number; readonly id: string; readonly trial: string }>(`
      SELECT a.token, a.id, a.trial, d.count, d.digest
      FROM base_report_digests AS d JOIN base_attempts AS a ON a.token = d.attempt ORDER BY a.token`)
    .all();
  for (const { token, id, trial, count, digest } of attempts) {
    const found = sum(reports.iterate(token));
    if (found.count !== count || found.digest !== digest) altered.push({ what: `reports of attempt ${id}`, trial });
  }
  const row = db.prepare<[string], DigestCell[]>(`SELECT ${TRIAL_COLUMNS} FROM base_trials WHERE id = ?`).raw();
  const trials = db
    .prepare<[], { readonly trial: string; readonly digest: number }>(`
      SELECT d.trial, d.digest FROM base_trial_digests AS d JOIN base_trials AS t ON t.id = d.trial
      WHERE t.ended_at IS NOT NULL ORDER BY t.sweep, t.number`)
    .all();
  for (const { trial, digest } of trials) {
    if (trialDigest(row.get(trial) ?? []) !== digest) altered.push({ what: `trial ${trial}`, trial });
  }
  return { attempts: attempts.length, trials: trials.length, altered };
}
