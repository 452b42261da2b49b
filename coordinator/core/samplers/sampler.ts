/**
 * The sampler's interface: which parameters the next trial gets. test/conformance/sampler.ts holds for every one.
 *
 * - Pure: the same context gives the same answer. All randomness comes from `rng`, which is keyed by the trial.
 * - Every value lies in the space. No observations, failed ones and pending ones are all allowed.
 * - Its state is data, committed with the trial it proposed; `null` before the first.
 *
 * Adding one: a file here, a line in index.ts.
 */
import type { ErrorData } from "../../../proto/contract.js";
import type { Rng } from "../rng.js";
import type { Json, Objective, Parameters, Space } from "../types.js";

/** A trial as a sampler sees it. Trials lost or cancelled teach nothing and are left out; so are reruns. */
export interface Observation {
  readonly number: number;
  readonly parameters: Parameters;
  /** `failed` means that the point is bad: diverged or impossible. `pending` waits or trains now. */
  readonly outcome: "completed" | "stopped" | "failed" | "pending";
  /** Best value of the objective so far; `null` where there is none that is finite. */
  readonly value: number | null;
  readonly epoch: number;
}

export interface SamplerContext {
  readonly space: Space;
  readonly objective: Objective;
  readonly options: Json;
  /** In order of trial number; made when first read. */
  readonly observations: readonly Observation[];
  readonly trialNumber: number;
  readonly rng: Rng;
  readonly state: Json;
}

export type Suggestion =
  | { readonly kind: "params"; readonly parameters: Parameters; readonly state: Json }
  /** The space holds nothing more. */
  | { readonly kind: "exhausted" };

export interface Sampler {
  /** Why it cannot search this space with these options; `null` if it can. */
  check(space: Space, options: Json): ErrorData | null;
  suggest(context: SamplerContext): Suggestion;
}
