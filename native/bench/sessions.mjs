/** What the benchmarks share: a recipe of a catalogue network over made-up images, and a session that trains it. */
import { hyperparameters } from "../../dist/native/hyperparameters.js";
import { loadEngine } from "../../dist/native/index.js";
import { networks } from "../../dist/native/networks/index.js";
import { recipeFor } from "../../dist/native/networks/recipe-for.js";

export const engine = loadEngine();

/** The catalogue's entries with these names, in its order; all of them for no names. Ends the process for a wrong one. */
export function networksNamed(names) {
  for (const name of names ?? []) {
    if (networks.some((network) => network.name === name)) continue;
    process.stderr.write(`no network ${name}; there are ${networks.map((network) => network.name).join(", ")}\n`);
    process.exit(2);
  }
  return networks.filter(({ name }) => names === undefined || names.includes(name));
}

export function benchRecipe(network) {
  const train = Math.max(6_000, network.defaults.batch_size * 4);
  const dataset = {
    name: "bench",
    shape: network.input,
    classes: 10,
    validation: 10,
    train_images: train,
    test_images: 0,
    seed: null,
    ...(network.text ? { text: { path: "/bench", sha256: "", characters: "abcdefghij" } } : {}),
  };
  return recipeFor(network, dataset, { epochs: 1_000_000, hyperparameters: { learning_rate: 1e-4 } });
}

function registerImages(recipe) {
  const { shape, classes, train_images: count, name } = recipe.dataset;
  const digest = `${name} ${shape.join("x")} ${count}`;
  if (engine.hasDataset(digest)) return digest;
  const pixels = shape[0] * shape[1] * shape[2];
  if (recipe.dataset.text) {
    const none = new Uint8Array(0);
    const trainImages = Uint8Array.from({ length: count * pixels + 1 }, (_, i) => (i * 7) % classes);
    const arrays = { shape, classes, text: true, trainImages, trainLabels: none, testImages: none, testLabels: none };
    engine.registerDataset(digest, arrays);
    return digest;
  }
  const images = Uint8Array.from({ length: count * pixels }, (_, i) => Math.imul(i + 1, 0x9e3779b1) >>> 24);
  const labels = Uint8Array.from({ length: count }, (_, i) => i % classes);
  engine.registerDataset(digest, {
    shape,
    classes,
    trainImages: images,
    trainLabels: labels,
    testImages: new Uint8Array(0),
    testLabels: new Uint8Array(0),
  });
  return digest;
}

/** A session with all its lanes at work. */
export function openSession(recipe, { device = "cpu", lanes, threads, profile }) {
  const session = engine.createSession({
    recipe: JSON.stringify(recipe),
    device,
    dataset: registerImages(recipe),
    lanes,
    threads,
    isa: "auto",
    control: null,
    profile,
  });
  const vector = Float64Array.from(hyperparameters, ({ name }) => recipe.hyperparameters[name] ?? Number.NaN);
  for (let lane = 0; lane < lanes; lane += 1)
    session.addLane({ seed: BigInt(lane + 1), hyperparameters: vector, checkpoint: null });
  return session;
}

const stepsOf = ({ positions }) => positions.reduce((sum, { step }) => sum + step, 0);

/** Runs the session for about `seconds`, after a step of every lane that no one counts; optimiser steps of all lanes together, and the seconds they took. */
export function runFor(session, seconds) {
  // A lane's first step takes its memory, which the system hands out page by page.
  const before = stepsOf(session.runSlice({ maxMillis: 60_000, maxSteps: 1 }));
  const started = performance.now();
  let after = before;
  do after = stepsOf(session.runSlice({ maxMillis: 200, maxSteps: null }));
  while (performance.now() - started < 1000 * seconds);
  return { steps: after - before, seconds: (performance.now() - started) / 1000 };
}
