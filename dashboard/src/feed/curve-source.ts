/**
 * Keeps the curves of the selected sweep: asks GET /api/curves once, then follows the feed's reports, and asks again when
 * a curve that is to be drawn lacks epochs (a trial that climbed into the best N, a lost connection).
 *
 * Guarantees: one request at a time, at most one in `PAUSE` ms; never again for the same lack; at most `KEEP` curves held. When a
 * trial is given to another worker its curve is asked for anew: only the coordinator knows which earlier epochs are still its.
 */
import { type Signal, signal } from "@preact/signals";
import type { CurvesAnswer, ReportRow, TrialRow } from "../../../proto/feed.js";
import { type Curves, incomplete, mergeReports } from "./curves.js";

const PAUSE = 1_000;
const KEEP = 4_000;

export class CurveSource {
  readonly curves: Signal<Curves> = signal(new Map());
  /** Why there are no curves, in words; "" when all is well. */
  readonly problem: Signal<string> = signal("");
  readonly #get: (path: string) => Promise<unknown>;
  readonly #later: (run: () => void, millis: number) => void;
  #sweep: number | null = null;
  #wanted: readonly TrialRow[] = [];
  /** Which attempt of a trial the curve held is of. */
  #attempts = new Map<string, number>();
  #asked = new Set<string>();
  #busy = false;

  constructor(get: (path: string) => Promise<unknown>, later: (run: () => void, millis: number) => void) {
    this.#get = get;
    this.#later = later;
  }

  /** Says which trials are drawn now. */
  want(sweep: number, wanted: readonly TrialRow[]): void {
    if (sweep !== this.#sweep) {
      this.#sweep = sweep;
      this.#asked = new Set();
      this.#attempts = new Map();
      this.curves.value = new Map();
      this.problem.value = "";
    }
    this.#wanted = wanted;
    this.#forget(wanted.filter((row) => row.attempts !== (this.#attempts.get(row.id) ?? 1)));
    for (const { id, attempts } of wanted) this.#attempts.set(id, attempts);
    this.#fetch();
  }

  #forget(rows: readonly TrialRow[]): void {
    const held = this.curves.peek();
    const gone = new Set(rows.map(({ id }) => id).filter((id) => held.has(id)));
    if (gone.size > 0) this.curves.value = new Map([...held].filter(([id]) => !gone.has(id)));
  }

  /** Reports of a delta; `null`: some may have been missed. */
  receive(reports: readonly ReportRow[] | null): void {
    if (reports === null) {
      this.#asked = new Set();
      this.#fetch();
      return;
    }
    const prefix = `${this.#sweep}/`;
    const mine = reports.filter((report) => report.trial.startsWith(prefix));
    if (mine.length > 0) this.curves.value = this.#bounded(mergeReports(this.curves.peek(), mine));
  }

  #lacking(): readonly string[] {
    const rows = new Map(this.#wanted.map((row) => [row.id, `${row.attempts}@${row.epoch}`]));
    return incomplete(this.curves.peek(), this.#wanted)
      .map((id) => `${id}#${rows.get(id)}`)
      .filter((key) => !this.#asked.has(key));
  }

  #fetch(): void {
    const lacking = this.#lacking();
    const sweep = this.#sweep;
    if (this.#busy || sweep === null || lacking.length === 0) return;
    this.#busy = true;
    for (const key of lacking) this.#asked.add(key);
    const before = new Map(this.#attempts);
    void this.#get(`/api/curves?sweep=${sweep}&limit=${16 + this.#wanted.length}`)
      .then((answer) => {
        if (sweep !== this.#sweep) return;
        const { curves } = answer as CurvesAnswer;
        // The answer may be older than the news of another attempt.
        const current = curves.filter(({ trial }) => this.#attempts.get(trial) === before.get(trial));
        const reports = current.flatMap((curve) => curve.reports);
        this.curves.value = this.#bounded(mergeReports(this.curves.peek(), reports));
        this.problem.value = "";
      })
      .catch((error: unknown) => {
        if (sweep === this.#sweep) this.problem.value = error instanceof Error ? error.message : String(error);
      })
      .finally(() => {
        this.#later(() => {
          this.#busy = false;
          this.#fetch();
        }, PAUSE);
      });
  }

  #bounded(curves: Curves): Curves {
    if (curves.size <= KEEP) return curves;
    const wanted = new Set(this.#wanted.map((row) => row.id));
    return new Map([...curves].filter(([trial], i) => wanted.has(trial) || i >= curves.size - KEEP / 2));
  }
}
