/** The keys of a sweep file: W&B's, those of W&B that mean nothing here, and our own. Data only. */
import { hyperparameters } from "../../native/hyperparameters.js";

/** In the order in which help and messages name them. */
export const KEYS = [
  "name",
  "description",
  "network",
  "dataset",
  "validation",
  "epochs",
  "batch_size",
  "optimizer",
  "nesterov",
  "decay",
  "schedule",
  "augmentation",
  "averaging",
  "test_at_end",
  "keep_weights",
  "metric",
  "method",
  "seed",
  "run_cap",
  "max_parallel",
  "max_wall_time",
  "max_attempts",
  "early_terminate",
  "scheduler",
  "parameters",
] as const;

export type Key = (typeof KEYS)[number];

/** W&B's keys that say how to start somebody's program: ignored with a warning. */
export const IGNORED_KEYS: Readonly<Record<string, string>> = {
  program: "trials train on convsweep's own engine, no program is started",
  command: "trials train on convsweep's own engine, no command is started",
  job: "trials train on convsweep's own engine, no job is started",
  image_uri: "trials need no container",
  project: "a store holds all sweeps; name them with name",
  entity: "there are no accounts",
  controller: "the coordinator is the controller",
  apiVersion: "there is one version of the format",
  kind: "a sweep file is always a sweep",
};

export const METHODS = ["random", "grid"] as const;

/** W&B's methods that this version does not have. */
export const OTHER_METHODS = ["bayes", "custom"];

/** Parameters that change the loop: each draws from the recipe's own member of that name. */
export const STRUCTURAL = ["batch_size", "epochs", "optimizer"] as const;
export type Structural = (typeof STRUCTURAL)[number];

export const HYPERPARAMETER_NAMES: readonly string[] = hyperparameters.map((info) => info.name);

/** Everything that may stand at the first level. */
export const TOP_LEVEL: readonly string[] = [
  ...KEYS,
  ...HYPERPARAMETER_NAMES,
  ...hyperparameters.flatMap((info) => info.aliases),
  ...Object.keys(IGNORED_KEYS),
];

export const PARAMETER_NAMES: readonly string[] = [...HYPERPARAMETER_NAMES, ...STRUCTURAL];

/** Other tools' names for structural parameters. */
export const STRUCTURAL_ALIASES: Readonly<Record<string, Structural>> = {
  batchsize: "batch_size",
  bs: "batch_size",
  "batch-size": "batch_size",
  batchSize: "batch_size",
  num_epochs: "epochs",
  max_epochs: "epochs",
  opt: "optimizer",
  optim: "optimizer",
  optimiser: "optimizer",
};
