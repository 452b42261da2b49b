/**
 * What an earlier coordinator with a webhook left to say, worked out from the record of events.
 *
 * A message that was handed to delivery is on record as `webhook-due`, and later what became of it, both with its id: due
 * without an outcome is sent again, with the same id. What happened after the last that was due, and was not handed over
 * yet, is news. Not here: sending (webhook.ts).
 */
import type { SweepId } from "../../../proto/contract.js";
import type { EventRecord } from "../../core/types.js";
import { isSweepEvent, isTrialEvent, noticeId } from "./notices.js";

export interface Owed {
  /** Messages to be sent again: of which event, and of how many trials they told. */
  readonly again: readonly { readonly event: EventRecord; readonly trials: number }[];
  /** Events that nobody has begun to tell, oldest first. */
  readonly news: readonly EventRecord[];
}

/** How a due message is on record, and found again. */
export const dueDetail = (about: string, trials: number, id: string): string => `${about}: ${trials} trials [${id}]`;

const ID = /\[([0-9a-f]{16})\]$/;
const TRIALS = /: (\d+) trials \[/;

/** `events`: oldest first; what came before the first that speaks of a webhook was never to be told. */
export function owedOf(events: readonly EventRecord[]): Owed {
  const first = events.findIndex(({ kind }) => kind.startsWith("webhook-"));
  if (first < 0) return { again: [], news: [] };
  const due = new Map<string, number>();
  const ended = new Set<string>();
  const byId = new Map<string, { readonly event: EventRecord; readonly at: number }>();
  for (const [at, event] of events.entries()) {
    if (isSweepEvent(event) || isTrialEvent(event)) byId.set(noticeId(event), { event, at });
    const id = event.kind.startsWith("webhook-") ? ID.exec(event.detail)?.[1] : undefined;
    if (id === undefined) continue;
    if (event.kind === "webhook-due") due.set(id, Number(TRIALS.exec(event.detail)?.[1] ?? 0));
    else ended.add(id);
  }
  // A message of trials tells of all of its sweep up to its event.
  const toldUpTo = new Map<SweepId | null, number>();
  for (const id of [...due.keys(), ...ended]) {
    const known = byId.get(id);
    if (known === undefined || !isTrialEvent(known.event)) continue;
    const { sweep } = known.event;
    toldUpTo.set(sweep, Math.max(toldUpTo.get(sweep) ?? -1, known.at));
  }
  const again = [...due].flatMap(([id, trials]) => {
    const event = byId.get(id)?.event;
    return event === undefined || ended.has(id) ? [] : [{ event, trials }];
  });
  const isNews = (event: EventRecord, at: number): boolean => {
    if (at < first) return false;
    if (isTrialEvent(event)) return at > (toldUpTo.get(event.sweep) ?? -1);
    const id = noticeId(event);
    return isSweepEvent(event) && !due.has(id) && !ended.has(id);
  };
  return { again, news: events.filter(isNews) };
}
