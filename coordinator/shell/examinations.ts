/**
 * Looks through the whole store by itself: an hour after the start, then once a day.
 *
 * Guarantees: what is wrong is put on record and into the log as `store-damaged`, once for each thing that is wrong as
 * long as this process lives. Nothing is stopped for it: what is written now is not what was damaged, and whoever
 * operates this decides on a restore. Not here: what is looked at (store/examine.ts).
 */
import { millis, toConvsweepError } from "../../proto/contract.js";
import type { StoreFinding } from "../store/examine.js";
import type { Examination } from "../store/examine-beside.js";
import type { Clock } from "./clock.js";
import type { Log } from "./log.js";

export const FIRST_MILLIS = 3_600_000;
export const BETWEEN_MILLIS = 24 * 3_600_000;

export interface Examinations {
  close(): void;
}

export function startExaminations(
  clock: Clock,
  examine: () => Examination,
  log: Log,
  note: (detail: string) => void,
): Examinations {
  const told = new Set<string>();
  let running: Examination | null = null;
  let cancel: () => void = () => {};
  let closed = false;

  function tell({ verdict, what, detail }: StoreFinding): void {
    const wrong = `${what}: ${detail}`;
    if (verdict !== "bad" || told.has(wrong)) return;
    told.add(wrong);
    log("error", "store-damaged", `the store is damaged: ${wrong}`);
    note(wrong);
  }

  async function look(): Promise<void> {
    running = examine();
    try {
      for (const finding of await running.findings) tell(finding);
    } catch (thrown) {
      if (!closed) log("warn", "examination-failed", toConvsweepError(thrown).message);
    } finally {
      running = null;
    }
    if (!closed) arm(BETWEEN_MILLIS);
  }

  function arm(wait: number): void {
    cancel = clock.schedule(millis(clock.now() + wait), () => void look());
  }

  arm(FIRST_MILLIS);
  return {
    close() {
      closed = true;
      cancel();
      running?.stop();
    },
  };
}
