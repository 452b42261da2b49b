/**
 * Where trials come from: drawn by the sweep's sampler when a lane is free, enqueued by hand, or repeating another.
 *
 * Guarantees: parameters and seed of a trial follow from the sweep's seed and the trial's number (and, for samplers that
 * learn, from the observations on record); drawing one trial is one decision, so a restart draws the same. Not here:
 * where a trial goes (placement.ts).
 */
import { ConvsweepError, millis, trialId } from "../../proto/contract.js";
import { canonicalJson } from "./canonical.js";
import { changedSweep } from "./changed.js";
import type { Draft } from "./draft.js";
import { aboutTrial } from "./draft.js";
import { hex64, rngFor } from "./rng.js";
import type { Observation, SamplerContext, Suggestion } from "./samplers/sampler.js";
import { drawParameters } from "./space/draw.js";
import { trialsOf } from "./state.js";
import type { Json, Parameters, Sweep, SweepSpec, Trial } from "./types.js";

/** What the sampler proposes next; draws nothing. */
export function suggest(draft: Draft, sweep: Sweep): Suggestion {
  const { spec } = sweep;
  const sampler = draft.algorithms.samplers.get(spec.sampler.name);
  if (sampler === undefined) throw new ConvsweepError("INTERNAL", `no sampler is called ${spec.sampler.name}`);
  return sampler.suggest(new Context(draft, sweep));
}

class Context implements SamplerContext {
  readonly space: SamplerContext["space"];
  readonly objective: SamplerContext["objective"];
  readonly options: Json;
  readonly trialNumber: number;
  readonly rng: SamplerContext["rng"];
  readonly state: Json;
  readonly #draft: Draft;
  readonly #sweep: Sweep;
  #observations: readonly Observation[] | null = null;

  constructor(draft: Draft, sweep: Sweep) {
    const { spec } = sweep;
    this.space = spec.space;
    this.objective = spec.objective;
    this.options = spec.sampler.options;
    this.trialNumber = sweep.nextTrial;
    this.rng = parameterRng(spec, sweep.nextTrial);
    this.state = sweep.samplerState;
    this.#draft = draft;
    this.#sweep = sweep;
  }

  get observations(): readonly Observation[] {
    this.#observations ??= observationsOf(this.#draft, this.#sweep);
    return this.#observations;
  }
}

export function addSampled(draft: Draft, sweep: Sweep, parameters: Parameters, samplerState: Json): Trial {
  const seed = hex64(rngFor(sweep.spec.seed, sweep.nextTrial, "seed"));
  return addTrial(draft, changedSweep(sweep, { samplerState }), parameters, seed, { kind: "sampled" });
}

/** Parameters not given are drawn as a random sampler would; the cap grows by one. */
export function addEnqueued(draft: Draft, sweep: Sweep, given: Parameters): Trial {
  const parameters = drawParameters(sweep.spec.space, parameterRng(sweep.spec, sweep.nextTrial), given);
  const seed = hex64(rngFor(sweep.spec.seed, sweep.nextTrial, "seed"));
  const larger = changedSweep(sweep, { spec: { ...sweep.spec, runCap: sweep.spec.runCap + 1 } });
  return addTrial(draft, larger, parameters, seed, { kind: "enqueued" });
}

/** The same parameters and seed once more, outside of the cap. */
export function addRerun(draft: Draft, sweep: Sweep, original: Trial, verify: boolean): Trial {
  return addTrial(draft, sweep, original.parameters, original.seed, { kind: "rerun", of: original.id, verify });
}

/** Trials with equal keys have equal recipes, so they may train together. */
export function cohortKeyOf(spec: SweepSpec, parameters: Parameters): string {
  return `${spec.recipeDigest}:${canonicalJson(structuralOf(spec, parameters))}`;
}

/** The recipe of one trial: structural parameters take the place of the members they name. */
export function recipeOf(spec: SweepSpec, parameters: Parameters): Json {
  if (spec.structural.length === 0 || spec.recipe === null || typeof spec.recipe !== "object") return spec.recipe;
  return { ...spec.recipe, ...structuralOf(spec, parameters) };
}

function structuralOf(spec: SweepSpec, parameters: Parameters): Parameters {
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => spec.structural.includes(name)));
}

function parameterRng(spec: SweepSpec, number: number): ReturnType<typeof rngFor> {
  return rngFor(spec.seed, number, "parameters");
}

function addTrial(draft: Draft, sweep: Sweep, parameters: Parameters, seed: string, origin: Trial["origin"]): Trial {
  const number = sweep.nextTrial;
  draft.putSweep(changedSweep(sweep, { nextTrial: number + 1 }));
  draft.placementDue = true;
  const trial = draft.putTrial({
    id: trialId(sweep.id, number),
    sweep: sweep.id,
    number,
    parameters,
    seed,
    cohortKey: cohortKeyOf(sweep.spec, parameters),
    origin,
    state: "queued",
    cause: "",
    attempts: 0,
    losses: 0,
    notBefore: millis(0),
    epoch: 0,
    best: null,
    last: null,
    metrics: {},
    lineage: [],
    createdAt: draft.now,
    startedAt: null,
    endedAt: null,
    weightsHash: null,
    fingerprint: null,
    worker: null,
    device: null,
    verified: null,
    killed: [],
    checkpoints: [],
  });
  draft.record("trial-added", aboutTrial(trial), origin.kind === "rerun" ? `rerun of ${origin.of}` : origin.kind);
  return trial;
}

function observationsOf(draft: Draft, sweep: Sweep): readonly Observation[] {
  const known: Observation[] = [];
  for (const trial of trialsOf(draft.state, sweep)) {
    const outcome = outcomeOf(trial);
    if (outcome === null) continue;
    const { number, parameters, epoch } = trial;
    known.push({ number, parameters, outcome, value: trial.best?.value ?? null, epoch });
  }
  return known;
}

function outcomeOf(trial: Trial): Observation["outcome"] | null {
  if (trial.origin.kind === "rerun") return null;
  switch (trial.state) {
    case "completed":
    case "stopped":
    case "failed":
      return trial.state;
    case "queued":
    case "leased":
    case "running":
    case "paused":
      return "pending";
    case "lost":
    case "cancelled":
      return null;
  }
}
