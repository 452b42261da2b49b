/** What a simulated worker's process keeps on its disk, and what the next process of its name makes of it. */
import type { Predecessor } from "../../worker/agent-messages.js";
import type { Entry } from "../../worker/outbox.js";
import type { Mutant } from "./mutants.js";

/** As worker/spool.ts keeps it. */
export interface Spool {
  /** Whom the next process names: this life, and before its welcome those before it. */
  lives: readonly string[];
  store: string;
  readonly entries: Map<number, Entry>;
}

export function inherited(before: Spool | null, how: Mutant["inherits"]): Predecessor | null {
  if (before === null || how === "nothing") return null;
  const { lives, store, entries } = before;
  return {
    lives: how === "last" ? lives.slice(-1) : lives,
    store,
    entries: how === "name" ? [] : [...entries.values()],
  };
}
