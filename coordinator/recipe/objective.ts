/**
 * The metric that a sweep is judged by: one that the engine reports, with a direction.
 *
 * W&B minimises unless told otherwise; here an accuracy without `goal` is maximised, with a warning, because nobody means
 * the other. Not here: computing metrics.
 */
import type { Objective } from "../core/types.js";
import type { FileNode, Reader } from "./reader.js";

const METRICS = ["train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"] as const;
/** Of the discriminator: its loss, and the shares of real and drawn images that it knows; the generator's loss. */
const GAN_METRICS = ["g_loss", "d_loss", "d_real_accuracy", "d_fake_accuracy"] as const;
type Metric = (typeof METRICS)[number] | (typeof GAN_METRICS)[number];

/** What other programs call the same. */
const ALIASES: Readonly<Record<string, Metric>> = {
  validation_loss: "val_loss",
  valid_loss: "val_loss",
  validation_accuracy: "val_accuracy",
  val_acc: "val_accuracy",
  valid_accuracy: "val_accuracy",
  validation_acc: "val_accuracy",
  train_acc: "train_accuracy",
  training_loss: "train_loss",
  training_accuracy: "train_accuracy",
  test_acc: "test_accuracy",
};

export interface MetricsThere {
  /** A validation part is held out. */
  readonly validation: boolean;
  readonly testAtEnd: boolean;
  readonly procedure: "classification" | "gan";
}

export function compileObjective(reader: Reader, node: FileNode | undefined, there: MetricsThere): Objective {
  if (node === undefined && there.procedure === "gan") return { name: "g_loss", goal: "minimize", target: null };
  if (node === undefined) {
    return { name: there.validation ? "val_accuracy" : "train_accuracy", goal: "maximize", target: null };
  }
  const known = ["name", "goal", "target", "impute", "impute_while_running"];
  const fields = reader.fields(node, "metric", known, "a mapping such as {name: val_accuracy, goal: maximize}");
  const nameNode = fields.get("name")?.value;
  if (nameNode === undefined) throw reader.error(node.at, "metric", "a metric needs name", "name", "no such key");
  const name = compileName(reader, nameNode, there);
  for (const key of ["impute", "impute_while_running"]) {
    const entry = fields.get(key);
    if (entry) reader.warn(entry.keyAt, `metric.${key}`, "ignored: neither random nor grid search looks at results");
  }
  const accuracy = name.endsWith("accuracy");
  const goalNode = fields.get("goal")?.value;
  let goal: Objective["goal"] = "minimize";
  if (goalNode === undefined && accuracy) {
    goal = "maximize";
    reader.warn(nameNode.at, "metric", `no goal given: ${name} is maximized (W&B would minimize it)`);
  } else if (goalNode !== undefined) {
    goal = reader.choice(goalNode, "metric.goal", ["minimize", "maximize"]);
    if ((goal === "maximize") !== accuracy) {
      reader.warn(
        goalNode.at,
        "metric.goal",
        `${goal} looks for the worst ${name}; was ${accuracy ? "maximize" : "minimize"} meant?`,
      );
    }
  }
  const targetNode = fields.get("target")?.value;
  const target = targetNode === undefined ? null : reader.number(targetNode, "metric.target").value;
  if (target !== null && targetNode !== undefined && accuracy && (target < 0 || target > 1)) {
    throw reader.unexpected(targetNode, "metric.target", "a share from 0 to 1, as accuracies are reported");
  }
  return { name, goal, target };
}

function compileName(reader: Reader, node: FileNode, there: MetricsThere): Metric {
  const path = "metric.name";
  const given = node.kind === "scalar" && typeof node.value === "string" ? node.value : "";
  const alias = there.procedure === "classification" && Object.hasOwn(ALIASES, given) ? ALIASES[given] : undefined;
  const name = alias ?? reader.choice<Metric>(node, path, there.procedure === "gan" ? GAN_METRICS : METRICS);
  if (alias !== undefined) reader.warn(node.at, path, `${given} is called ${alias} here`);
  if (name.startsWith("val_") && !there.validation) {
    throw reader.unexpected(
      node,
      path,
      "a metric that is measured",
      "; with validation: 0 there is no validation part",
    );
  }
  if (name.startsWith("test_")) {
    if (!there.testAtEnd) {
      throw reader.unexpected(
        node,
        path,
        "a metric that is measured",
        "; the test set is measured only with test_at_end: true",
      );
    }
    reader.warn(node.at, path, "choosing a trial by the test set makes its result look better than it is");
  }
  return name;
}
