/**
 * Whole networks, with all their filters and, unless told otherwise, their recipe's rate and batch, trained beside PyTorch from the same weights on the
 * same real images: does the curve follow PyTorch's?
 *
 * usage: node test/long/curves.mjs --networks a,b --out FOLDER [--steps 60] [--every 20] [--validation 512] [--data FOLDER]
 *        [--batch N] [--rate R] [--once] [--threads N] [--python PATH] [--keep FOLDER]
 *
 * Images come in the order of the publisher's files, without augmentation or dropout, at a constant rate; a network for grey
 * images gets MNIST, others CIFAR-10. PyTorch runs twice, with images channels first and channels last: two roundings of the
 * same arithmetic. Rounding noise grows from step to step at these rates, so how far PyTorch is from itself is what our distance from it
 * is to be compared with (--once leaves the second run out). Writes NAME.json (every step's loss, validation loss and accuracy every so many steps) and
 * NAME.svg; prints a line a network. What --keep names holds each finished run: started again with the same options, only
 * the missing ones are made. Times are of the steps alone, and only worth something on a machine with nothing else to do.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { hyperparameters } from "../../dist/native/hyperparameters.js";
import { loadEngine } from "../../dist/native/index.js";
import { networks } from "../../dist/native/networks/index.js";
import { recipeFor } from "../../dist/native/networks/recipe-for.js";
import { loadDataset } from "../../dist/worker/data/load.js";
import { drawCurves } from "./curve-picture.mjs";

const { values: flags } = parseArgs({
  options: {
    networks: { type: "string" },
    out: { type: "string" },
    steps: { type: "string", default: "60" },
    every: { type: "string", default: "20" },
    validation: { type: "string", default: "512" },
    data: { type: "string", default: process.env.CONVSWEEP_DATA ?? join(homedir(), ".cache/convsweep/data") },
    threads: { type: "string", default: String(availableParallelism()) },
    keep: { type: "string" },
    batch: { type: "string" },
    rate: { type: "string" },
    once: { type: "boolean", default: false },
    python: { type: "string", default: process.env.CONVSWEEP_PYTHON ?? "python3" },
  },
});
const [steps, every, validation, threads] = [flags.steps, flags.every, flags.validation, flags.threads].map(Number);
/** Steps that a smoothed loss is the mean of: the noise of single batches goes, the course stays. */
const SMOOTH = 10;
const SEED = 20_261_127n;
const engine = loadEngine();

if (flags.out === undefined || flags.networks === undefined) {
  process.stderr.write("usage: node test/long/curves.mjs --networks a,b --out FOLDER\n");
  process.exit(2);
}

const published = {
  1: { name: "mnist", shape: [1, 28, 28], classes: 10, train_images: 60_000, test_images: 10_000, seed: null },
  3: { name: "cifar10", shape: [3, 32, 32], classes: 10, train_images: 50_000, test_images: 10_000, seed: null },
};

/** The recipe, and as many of the real images as it uses. */
async function prepare(network) {
  const source = published[network.input[0]];
  const { arrays } = await loadDataset(source, flags.data, () => null);
  const batch = Number(flags.batch ?? network.defaults.batch_size);
  const count = steps * batch + validation;
  const pixels = source.shape.reduce((product, side) => product * side, 1);
  if (count > source.train_images) throw new Error(`${source.name} has ${source.train_images} images, not ${count}`);
  const dataset = { ...source, validation, train_images: count, test_images: 0 };
  const recipe = recipeFor(network, dataset, {
    epochs: 1,
    batch_size: batch,
    shuffle: false,
    hyperparameters: { dropout: 0, ...(flags.rate === undefined ? {} : { learning_rate: Number(flags.rate) }) },
  });
  const none = new Uint8Array(0);
  return {
    recipe,
    arrays: {
      shape: source.shape,
      classes: source.classes,
      trainImages: arrays.trainImages.slice(0, count * pixels),
      trainLabels: arrays.trainLabels.slice(0, count),
      testImages: none,
      testLabels: none,
    },
  };
}

/** Cross entropy and accuracy of logits, [image][class]. */
function judge(logits, labels, classes) {
  let [loss, right] = [0, 0];
  for (const [image, label] of labels.entries()) {
    const row = logits.subarray(image * classes, (image + 1) * classes);
    const most = row.reduce((found, logit) => Math.max(found, logit));
    loss += most + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - most), 0)) - row[label];
    right += row.indexOf(most) === label;
  }
  return { loss: loss / labels.length, accuracy: right / labels.length };
}

/** Trains here, and leaves in `folder` what PyTorch starts from. */
function trainHere(recipe, arrays, folder) {
  const dataset = `curves ${recipe.network.name}`;
  engine.registerDataset(dataset, arrays);
  const session = engine.createSession({
    recipe: JSON.stringify(recipe),
    device: "cpu",
    dataset,
    lanes: 1,
    threads,
    isa: "auto",
    control: null,
  });
  const values = recipe.hyperparameters;
  const vector = Float64Array.from(hyperparameters, ({ name }) => values[name] ?? Number.NaN);
  const lane = session.addLane({ seed: SEED, hyperparameters: vector, checkpoint: null });
  writeFileSync(join(folder, "recipe.json"), JSON.stringify(recipe));
  writeFileSync(join(folder, "start.json"), JSON.stringify({ hyperparameters: values }));
  writeFileSync(join(folder, "images.u8"), arrays.trainImages);
  writeFileSync(join(folder, "labels.u8"), arrays.trainLabels);
  writeFileSync(join(folder, "weights.f32"), session.weights(lane).data);

  const { classes } = arrays;
  const evaluate = () => {
    const batches = Math.ceil(validation / recipe.batch_size);
    const logits = new Float32Array(validation * classes);
    for (let batch = 0; batch < batches; batch += 1)
      logits.set(session.validationLogits(lane, batch), batch * recipe.batch_size * classes);
    return judge(logits, arrays.trainLabels.subarray(-validation), classes);
  };
  const losses = [];
  const evaluations = [];
  let millis = 0;
  for (let step = 1; step <= steps; step += 1) {
    const started = performance.now();
    const { positions } = session.runSlice({ maxMillis: 600_000, maxSteps: 1 });
    millis += performance.now() - started;
    losses.push(positions[0]?.loss ?? Number.NaN);
    if (step % every === 0) evaluations.push({ step, ...evaluate() });
  }
  session.close();
  return { losses, evaluations, seconds: millis / 1000 };
}

function trainThere(folder, layout) {
  const program = fileURLToPath(new URL("curves.py", import.meta.url));
  const run = spawnSync(flags.python, [program, folder, String(steps), String(every), String(threads), layout], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    // Threads that wait by spinning would hold up whatever else runs on the machine, and themselves with it.
    env: { OMP_WAIT_POLICY: "passive", ...process.env },
  });
  if (run.status !== 0) throw new Error(`${program} ended with ${run.status}`);
  return JSON.parse(run.stdout);
}

/** Means of SMOOTH neighbours each. */
function smoothed(losses) {
  const width = Math.min(SMOOTH, losses.length);
  return Array.from(
    { length: losses.length - width + 1 },
    (_, from) => losses.slice(from, from + width).reduce((sum, loss) => sum + loss, 0) / width,
  );
}

/** The largest relative difference of two smoothed curves. */
function distance(own, other) {
  const theirs = smoothed(other.losses);
  return Math.max(...smoothed(own.losses).map((loss, at) => Math.abs(loss - theirs[at]) / theirs[at]));
}

/** The run in `folder`, or made now and put there. */
function once(folder, name, make) {
  const file = join(folder, `${name}.json`);
  if (existsSync(file)) return JSON.parse(readFileSync(file, "utf8"));
  const run = make();
  writeFileSync(file, JSON.stringify(run));
  return run;
}

const short = (_, value) =>
  typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;

mkdirSync(flags.out, { recursive: true });
for (const name of flags.networks.split(",")) {
  const network = networks.find((entry) => entry.name === name);
  if (network === undefined || network.procedure !== undefined || network.text) {
    throw new Error(`${name} is no network of the catalogue that classifies images`);
  }
  const folder = flags.keep === undefined ? mkdtempSync(join(tmpdir(), "convsweep-curves-")) : join(flags.keep, name);
  mkdirSync(folder, { recursive: true });
  try {
    const { recipe, arrays } = await prepare(network);
    const engineRun = once(folder, "engine", () => trainHere(recipe, arrays, folder));
    const { version, ...first } = once(folder, "nchw", () => trainThere(folder, "nchw"));
    const last = flags.once ? null : once(folder, "nhwc", () => trainThere(folder, "nhwc"));
    const { learning_rate, momentum, l2, label_smoothing } = recipe.hyperparameters;
    const result = {
      network: name,
      dataset: recipe.dataset.name,
      steps,
      batch_size: recipe.batch_size,
      optimizer: recipe.optimizer,
      hyperparameters: { learning_rate, momentum, l2, label_smoothing, dropout: 0 },
      validation_images: validation,
      engine: { version: engine.version, ...engineRun },
      pytorch: {
        version,
        channels_first: first,
        channels_last: last && { losses: last.losses, evaluations: last.evaluations, seconds: last.seconds },
      },
      smoothed_over: Math.min(SMOOTH, steps),
      largest_relative_difference: {
        engine_and_pytorch: distance(engineRun, first),
        pytorch_and_itself: last && distance(last, first),
      },
    };
    // One line a list: the files are read by people too.
    const text = JSON.stringify(result, short, 1).replace(/\[[^[\]{}]*\]/g, (list) => list.replace(/\s+/g, " "));
    writeFileSync(join(flags.out, `${name}.json`), `${text}\n`);
    writeFileSync(join(flags.out, `${name}.svg`), drawCurves(result, smoothed));
    const { engine_and_pytorch, pytorch_and_itself } = result.largest_relative_difference;
    const of = (run) => `${run.losses[0].toFixed(4)} to ${smoothed(run.losses).at(-1).toFixed(4)}`;
    const again =
      last === null ? "" : `; channels last ${of(last)}, from PyTorch ${(100 * pytorch_and_itself).toFixed(2)} %`;
    process.stdout.write(
      `${name}: ${steps} steps of ${recipe.batch_size}, loss here ${of(engineRun)}, PyTorch ${of(first)}, ` +
        `largest difference ${(100 * engine_and_pytorch).toFixed(2)} %${again}\n`,
    );
  } finally {
    if (flags.keep === undefined) rmSync(folder, { recursive: true });
  }
}
