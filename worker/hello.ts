/** The first message of a Link: who the worker is, what it still trains, and what it knows of the store. */
import { PROTOCOL } from "../proto/contract.js";
import type { Hello } from "../proto/gen/convsweep/v1/worker.js";
import type { Identity } from "./agent-messages.js";
import type { Held } from "./messages.js";

/** Where the store stood when the worker last heard of it. */
interface Seen {
  readonly store: string;
  readonly generation: number;
  readonly commit: number;
  readonly opening: string;
}

export function helloOf(identity: Identity, running: readonly Held[], previous: readonly string[], seen: Seen): Hello {
  const { worker, incarnation, host, pid, version, devices } = identity;
  return {
    protocolMajor: PROTOCOL.major,
    protocolMinor: PROTOCOL.minor,
    ...{ worker, incarnation, host, pid, version },
    devices: [...devices],
    running: [...running],
    previous: [...previous],
    seenStore: seen.store,
    seenGeneration: seen.generation,
    seenCommit: seen.commit,
    seenOpening: seen.opening,
  };
}
