/**
 * How far the engine's ten steps are from PyTorch's in double precision, network by network, as a table for
 * docs/accuracy/pytorch.md.
 *
 *   npm run build && node native/test/pytorch/start.mjs /tmp/starts
 *   python3 native/test/pytorch/compare_steps.py /tmp/starts /tmp/golden
 *   node native/test/pytorch/differences.mjs /tmp/golden
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { makeStarts, openStart, STEPS } from "./start.mjs";

const folder = process.argv[2];
if (!folder) throw new Error("usage: node differences.mjs GOLDEN_FOLDER");
const root = new URL("../../../dist/native/", import.meta.url);
const { loadEngine } = await import(new URL("index.js", root).href);
const { networks } = await import(new URL("networks/index.js", root).href);
const { recipeFor } = await import(new URL("networks/recipe-for.js", root).href);
const { hyperparameters } = await import(new URL("hyperparameters.js", root).href);

const engine = loadEngine();
const short = (value) => (value === 0 ? "0" : value.toExponential(1));
process.stdout.write(
  "| network | loss, engine | loss, PyTorch's float32 | norms of tensors, engine | learning rate |\n|---|---|---|---|---|\n",
);
for (const start of makeStarts(networks, recipeFor)) {
  const golden = JSON.parse(readFileSync(join(folder, `${start.name}.json`), "utf8"));
  const values = start.recipe.hyperparameters;
  const { session, lane } = openStart(
    engine,
    start,
    Float64Array.from(hyperparameters, ({ name }) => values[name] ?? Number.NaN),
  );
  let loss = 0;
  for (let step = 0; step < STEPS; step += 1) {
    const { positions } = session.runSlice({ maxMillis: 60_000, maxSteps: 1 });
    const expected = golden.losses[step];
    loss = Math.max(loss, Math.abs(positions[0].loss - expected) / Math.abs(expected));
  }
  const { tensors, data } = session.weights(lane);
  let at = 0;
  let norms = 0;
  for (const [index, { shape }] of tensors.entries()) {
    const size = shape.reduce((product, side) => product * side, 1);
    const norm = Math.sqrt(data.subarray(at, at + size).reduce((sum, x) => sum + x * x, 0));
    at += size;
    const expected = golden.tensors[index].norm;
    // What is nearly zero is compared absolutely by the test.
    if (expected > 1e-3) norms = Math.max(norms, Math.abs(norm - expected) / expected);
  }
  session.close();
  const cells = [`\`${start.name}\``, short(loss), short(golden.single), short(norms), values.learning_rate];
  process.stdout.write(`| ${cells.join(" | ")} |\n`);
}
