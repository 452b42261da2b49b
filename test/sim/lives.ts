/**
 * What the oracle knows of each life of each worker: what it said, what was acknowledged to it, what it holds. Kept from
 * what went over the connections, not from what anybody believes.
 */
import type { LinkRequest } from "../../proto/gen/convsweep/v1/worker.js";
import type { Entry } from "../../worker/outbox.js";
import { unpacked } from "../worker/unpacked.js";

type Body = NonNullable<LinkRequest["body"]>;
type Ended = Extract<Body, { readonly $case: "ended" }>["value"];

export type OutcomeCase = NonNullable<Ended["outcome"]>["$case"];

export interface Birth {
  readonly incarnation: string;
  readonly worker: string;
  readonly lanes: number;
  readonly honest: boolean;
  readonly previous?: readonly string[];
  readonly left?: Iterable<number>;
  readonly spooled?: () => Iterable<Entry>;
}

export class LifeBook {
  readonly incarnation: string;
  readonly worker: string;
  readonly lanes: number;
  readonly honest: boolean;
  alive = true;
  /** Numbered messages by number. */
  readonly numbered: (Body | undefined)[] = [];
  /** Highest number that it was told is durable. */
  acked = 0;
  /** Tokens of attempts it said it started, reported of or ended. */
  readonly spokeOf = new Set<number>();
  readonly outcomes = new Map<number, OutcomeCase[]>();
  /** `token:epoch` -> values said, oldest first. */
  readonly reports = new Map<string, unknown[]>();
  /** Tokens that a heartbeat of it left out while it should have held them. */
  readonly unlisted = new Set<number>();
  draining = false;
  /** How often an older copy had been put in place when it was last welcomed, and when it last began to number anew. */
  welcomedBy = 0;
  numberedFor = 0;
  /** Lives before it that it knows to be dead, if it has their spool. */
  readonly previous: readonly string[];
  /** Tokens of what that one left to say. */
  readonly left: Set<number>;
  /** A later life has its spool. */
  succeeded = false;
  /** What it keeps on its disk now. */
  readonly spooled: () => Iterable<Entry>;

  constructor({ incarnation, worker, lanes, honest, previous = [], left = [], spooled = () => [] }: Birth) {
    this.incarnation = incarnation;
    this.worker = worker;
    this.lanes = lanes;
    this.honest = honest;
    this.previous = previous;
    this.left = new Set(left);
    this.spooled = spooled;
  }

  said(message: LinkRequest): void {
    for (const one of unpacked(message)) this.#said(one);
  }

  #said({ seq, body }: LinkRequest): void {
    if (seq === 0 || body === undefined) return;
    this.numbered[seq] = body;
    switch (body.$case) {
      case "started":
        this.spokeOf.add(body.value.token);
        return;
      case "report": {
        const { token, epoch } = body.value;
        this.spokeOf.add(token);
        const key = `${token}:${epoch}`;
        const known = this.reports.get(key);
        const value = saidValue(body);
        if (known === undefined) this.reports.set(key, [value]);
        else if (!known.includes(value)) known.push(value);
        return;
      }
      case "ended": {
        const { token, outcome } = body.value;
        this.spokeOf.add(token);
        if (outcome === undefined) return;
        const known = this.outcomes.get(token);
        if (known === undefined) this.outcomes.set(token, [outcome.$case]);
        else known.push(outcome.$case);
        return;
      }
      case "draining":
        this.draining = true;
        return;
      case "checkpointSaved":
        this.spokeOf.add(body.value.token);
        return;
      case "artifactSaved":
      case "batch":
      case "hello":
      case "heartbeat":
        return;
    }
  }
}

/** The objective as it goes on record: a number, or the name of one that is not finite. */
export function saidValue(body: Extract<Body, { readonly $case: "report" }>): number | string | undefined {
  const metric = body.value.metrics[0]?.value;
  return metric?.value;
}
