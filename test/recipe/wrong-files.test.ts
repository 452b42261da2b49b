/**
 * Wrong sweep files and the exact message each earns: place, key path, what was expected, what was found, and the nearest
 * known word. One change to a right file a row.
 */
import { describe, expect, it } from "vitest";
import { base, head, net, param, refusalOf, sub, top } from "./right-file.js";

/** What is wrong, the file, the message after `f.yaml:`. */
const wrong: readonly (readonly [string, string, string])[] = [
  ["empty", "", "1:1: the file is empty; expected a sweep"],
  ["only a comment", "# nothing\n", "1:1: the file is empty; expected a sweep"],
  ["a list", "- a\n- b\n", "1:1: expected a mapping: the keys of a sweep, found a list of 2"],
  ["text", "hello\n", '1:1: expected a mapping: the keys of a sweep, found "hello"'],
  ["a doubled key", top("name: again"), "2:1: not valid YAML: the key name stands there twice"],
  ["a tab", "name: x\n\tmethod: random\n", "2:1: not valid YAML: tabs are not allowed as indentation"],
  [
    "two documents",
    `${base}---\nname: x\n`,
    "13:1: not valid YAML: a sweep file holds one document, found `---` and more",
  ],
  ["a tag", sub("name: test", "name: !secret x"), "1:7: not valid YAML: the tag !secret is not known"],
  ["a directive", `%FOO bar\n---\n${base}`, "1:1: not valid YAML: unknown directive %FOO"],
  ["__proto__", top("__proto__: {a: 1}"), "1:1: the key __proto__ is not allowed"],
  ["constructor inside", param("constructor: {value: 1}"), "13:3: the key constructor is not allowed"],
  [
    "an unclosed bracket",
    sub("run_cap: 16", "run_cap: [16"),
    "10:1: not valid YAML: a [ is not closed by ], or not indented enough",
  ],
  ["infinity", sub("run_cap: 16", "run_cap: .inf"), "9:10: run_cap: expected a finite number, found .inf"],
  [
    "a huge integer",
    top("seed: 9007199254740993"),
    "1:7: seed: expected a whole number below 2^53, found 9007199254740993",
  ],
  ["an alias to nothing", top("seed: *x"), "1:7: the alias *x refers to nothing"],
  ["a mistyped key", sub("run_cap", "runcap"), "9:1: runcap: unknown key; did you mean run_cap?"],
  ["another mistyped key", sub("optimizer:", "optimzer:"), "6:1: optimzer: unknown key; did you mean optimizer?"],
  ["a swapped key", sub("epochs", "epohcs"), "4:1: epohcs: unknown key; did you mean epochs?"],
  [
    "a far key",
    top("colour: red"),
    "1:1: colour: unknown key; the keys here are name, description, network, dataset, validation, epochs, batch_size, optimizer, nesterov, decay, schedule, augmentation, averaging, test_at_end, keep_weights, metric, method, seed, run_cap, max_parallel, max_wall_time, max_attempts, early_terminate, scheduler, parameters, learning_rate, l2, momentum, rho, beta1, beta2, epsilon, dropout, label_smoothing, schedule_factor, schedule_floor, schedule_warmup, flip, crop_padding, cutout, brightness, contrast, saturation",
  ],
  ["no dataset", sub("dataset: mnist\n", ""), "1:1: dataset: the sweep needs this key"],
  ["no network", sub("network: lenet\n", ""), "1:1: network: the sweep needs this key"],
  ["no parameters", head, "1:1: parameters: the sweep needs this key"],
  ["no method", sub("method: random\n", ""), "1:1: method: the sweep needs this key"],
  [
    "no run_cap",
    sub("run_cap: 16\n", ""),
    "1:1: run_cap: random search goes on for ever without it: say how many trials",
  ],
  [
    "run_cap zero",
    sub("run_cap: 16", "run_cap: 0"),
    "9:10: run_cap: expected a whole number >= 1 and <= 1000000, found 0",
  ],
  [
    "run_cap fraction",
    sub("run_cap: 16", "run_cap: 1.5"),
    "9:10: run_cap: expected a whole number >= 1 and <= 1000000, found 1.5",
  ],
  [
    "run_cap text",
    sub("run_cap: 16", "run_cap: many"),
    '9:10: run_cap: expected a whole number >= 1 and <= 1000000, found "many"',
  ],
  [
    "method bayes",
    sub("method: random", "method: bayes"),
    '8:9: method: expected one of random, grid, found "bayes"; this version has no other',
  ],
  [
    "method mistyped",
    sub("method: random", "method: randm"),
    '8:9: method: expected one of random, grid, found "randm"; did you mean random?',
  ],
  [
    "early_terminate",
    top("early_terminate: {type: hyperband, min_iter: 3}"),
    "1:18: early_terminate: this version stops no trial early (scheduler: none); remove the key",
  ],
  ["scheduler", top("scheduler: asha"), '1:12: scheduler: expected one of none, found "asha"'],
  [
    "dataset mistyped",
    sub("dataset: mnist", "dataset: mnst"),
    '3:10: dataset: expected one of synthetic-digits, mnist, fashion-mnist, cifar10, cifar100, found "mnst"; did you mean mnist?',
  ],
  [
    "dataset unknown",
    sub("dataset: mnist", "dataset: imagenet"),
    '3:10: dataset: expected one of synthetic-digits, mnist, fashion-mnist, cifar10, cifar100, found "imagenet"',
  ],
  [
    "dataset number",
    sub("dataset: mnist", "dataset: 3"),
    "3:10: dataset: expected one of synthetic-digits, mnist, fashion-mnist, cifar10, cifar100, found 3",
  ],
  [
    "dataset seed of files",
    sub("dataset: mnist", "dataset: {name: mnist, seed: 3}"),
    "3:24: dataset.seed: mnist is read from files; only generated sets have seed",
  ],
  ["dataset without name", sub("dataset: mnist", "dataset: {seed: 3}"), "3:10: dataset: a data set needs name"],
  [
    "validation too large",
    top("validation: 60000"),
    "1:13: validation: expected a whole number >= 0 and <= 59999, found 60000",
  ],
  [
    "epochs of own network",
    net(["flatten", "linear: 10"]).replace("epochs: 3\n", ""),
    "1:1: epochs: a network given as layers needs this key",
  ],
  ["epochs zero", sub("epochs: 3", "epochs: 0"), "4:9: epochs: expected a whole number >= 1 and <= 100000, found 0"],
  [
    "batch larger than set",
    sub("batch_size: 100", "batch_size: 55001"),
    "5:13: batch_size: expected a whole number >= 1 and <= 55000, found 55001",
  ],
  [
    "optimizer",
    sub("optimizer: momentum", "optimizer: adm"),
    '6:12: optimizer: expected one of sgd, momentum, rmsprop, adam, adamw, found "adm"; did you mean adam?',
  ],
  [
    "nesterov with adam",
    sub("optimizer: momentum", "optimizer: adam\nnesterov: true"),
    "7:11: nesterov: only the optimizer momentum has it, found adam",
  ],
  [
    "adamw with its decay in the loss",
    sub("optimizer: momentum", "optimizer: adamw\ndecay: loss"),
    "7:8: decay: adamw decays the weights themselves; take adam for decay in the loss",
  ],
  ["nesterov yes", top("nesterov: yes"), '1:11: nesterov: expected true or false, found "yes"; in YAML 1.2 write true'],
  [
    "schedule",
    top("schedule: cosin"),
    '1:11: schedule: expected one of constant, step, exponential, cosine, list, one_cycle, found "cosin"; did you mean cosine?',
  ],
  [
    "schedule step without every",
    top("schedule: {step: {factor: 0.5}}"),
    "1:18: schedule.step: the schedule step needs every",
  ],
  [
    "schedule two kinds",
    top("schedule: {step: {every: 5, factor: 0.5}, cosine: }"),
    "1:11: schedule: expected one kind of schedule, such as {step: {every: 5, factor: 0.5}}, found a mapping with step, cosine",
  ],
  ["schedule key", top("schedule: {kind: cosine, flor: 0.1}"), "1:26: schedule.flor: unknown key; did you mean floor?"],
  [
    "schedule factor",
    top("schedule: [1, 0.1, -1]"),
    "1:20: schedule[2]: expected a number >= 0 and <= 1000000, found -1",
  ],
  ["augmentation", top("augmentation: {flipp: true}"), "1:16: augmentation.flipp: unknown key; did you mean flip?"],
  [
    "augmentation padding",
    top("augmentation: {crop_padding: 29}"),
    "1:30: augmentation.crop_padding: expected a whole number >= 0 and <= 28, found 29",
  ],
  [
    "metric name",
    sub("val_accuracy", "val_acuracy"),
    '7:16: metric.name: expected one of train_loss, train_accuracy, val_loss, val_accuracy, test_loss, test_accuracy, found "val_acuracy"; did you mean val_accuracy?',
  ],
  [
    "metric not reported",
    sub("val_accuracy", "f1"),
    '7:16: metric.name: expected one of train_loss, train_accuracy, val_loss, val_accuracy, test_loss, test_accuracy, found "f1"',
  ],
  [
    "metric without name",
    sub("metric: {name: val_accuracy, goal: maximize}", "metric: {goal: maximize}"),
    "7:9: metric: a metric needs name",
  ],
  [
    "metric goal",
    sub("goal: maximize", "goal: maximise"),
    '7:36: metric.goal: expected one of minimize, maximize, found "maximise"; did you mean maximize?',
  ],
  [
    "metric of test",
    sub("val_accuracy", "test_accuracy"),
    '7:16: metric.name: expected a metric that is measured, found "test_accuracy"; the test set is measured only with test_at_end: true',
  ],
  [
    "metric without validation",
    top("validation: 0"),
    '8:16: metric.name: expected a metric that is measured, found "val_accuracy"; with validation: 0 there is no validation part',
  ],
  [
    "metric target",
    sub("goal: maximize", "goal: maximize, target: 98"),
    "7:54: metric.target: expected a share from 0 to 1, as accuracies are reported, found 98",
  ],
  [
    "max_wall_time number",
    top("max_wall_time: 30"),
    "1:16: max_wall_time: expected a time of at least 1s such as 90s, 30m or 1h30m, found 30",
  ],
  [
    "max_wall_time text",
    top("max_wall_time: 30 minutes"),
    '1:16: max_wall_time: expected a time of at least 1s such as 90s, 30m or 1h30m, found "30 minutes"',
  ],
  [
    "max_wall_time order",
    top("max_wall_time: 30m1h"),
    '1:16: max_wall_time: expected a time of at least 1s such as 90s, 30m or 1h30m, found "30m1h"',
  ],
  ["max_parallel", top("max_parallel: 0"), "1:15: max_parallel: expected a whole number >= 1 and <= 1000000, found 0"],
  [
    "max_attempts",
    top("max_attempts: none"),
    '1:15: max_attempts: expected a whole number >= 1 and <= 1000, found "none"',
  ],
  ["seed negative", top("seed: -1"), "1:7: seed: expected a whole number >= 0 and <= 9007199254740991, found -1"],
  ["name number", sub("name: test", "name: 3"), "1:7: name: expected text, found 3"],
  [
    "name empty",
    sub("name: test", 'name: ""'),
    '1:7: name: expected text of 1 to 200 characters on one line, found ""',
  ],
  [
    "test_at_end",
    top("test_at_end: on"),
    '1:14: test_at_end: expected true or false, found "on"; in YAML 1.2 write true',
  ],
  ["hyperparameter range", top("momentum: 1"), "1:11: momentum: expected a number >= 0 and < 1, found 1"],
  ["hyperparameter twice", top("lr: 0.1\nlearning_rate: 0.1"), "1:1: lr: learning_rate is the same hyperparameter"],
  [
    "hyperparameter distribution at top",
    top("momentum: {min: 0.1, max: 0.9}"),
    "1:11: momentum: expected a number, found a mapping with min, max; distributions stand under parameters",
  ],
  ["hyperparameter text", top("momentum: high"), '1:11: momentum: expected a number >= 0 and < 1, found "high"'],
];

describe("wrong sweep files", () => {
  it.each(wrong)("%s", (_what, text, message) => {
    const error = refusalOf(text);
    expect(error.message).toBe(`f.yaml:${message}`);
    expect(error.code).toBe("BAD_INPUT");
    expect(error.path).toMatch(/^f\.yaml:\d+:\d+$/);
  });
});
