/** Where a training step's time goes, layer by layer: `npm run bench -- --profile NETWORK [--lanes N] [--threads N]`. */
import { benchRecipe, openSession, runFor } from "./sessions.mjs";

const fixed = (value, digits, width) => value.toFixed(digits).padStart(width);

export function profile(network, { lanes, threads, seconds, json }) {
  const recipe = benchRecipe(network);
  const session = openSession(recipe, { lanes, threads, profile: true });
  runFor(session, 0.3);
  session.takeProfile();
  const run = runFor(session, seconds);
  const times = session.takeProfile();
  session.close();
  // The uncounted step of every lane is in the times too. A step of a pair of networks updates both.
  const updates = times.find(({ layer, direction, op }) => layer < 0 && direction === "" && op === recipe.optimizer);
  const steps = updates === undefined ? run.steps : updates.calls / (recipe.procedure?.kind === "gan" ? 2 : 1);
  const total = times.reduce((sum, time) => sum + time.seconds, 0);
  const rows = times.map((time) => ({
    ...time,
    milliseconds: (1000 * time.seconds) / steps,
    share: time.seconds / total,
  }));
  if (json) {
    process.stdout.write(`${JSON.stringify({ network: network.name, lanes, threads, steps, rows })}\n`);
    return;
  }
  process.stdout.write(
    `${network.name}, batch ${recipe.batch_size}, ${lanes} lanes on ${threads} threads: ` +
      `${fixed((1000 * total) / steps, 3, 0)} ms a step of one lane, ${steps} steps\n`,
  );
  process.stdout.write("layer                          ms   share   GFLOP/s      MB    GB/s\n");
  for (const { layer, op, direction, milliseconds, share, seconds: took, flops, bytes } of rows) {
    const name = `${layer < 0 ? "" : `${layer} `}${op} ${direction}`;
    process.stdout.write(
      `${name.padEnd(26)}${fixed(milliseconds, 3, 7)}${fixed(100 * share, 1, 7)}%` +
        `${flops > 0 ? fixed(flops / took / 1e9, 1, 10) : " ".repeat(10)}${bytes > 0 ? `${fixed(bytes / steps / 1e6, 3, 8)}${fixed(bytes / took / 1e9, 1, 8)}` : ""}\n`,
    );
  }
}

/** Floating-point operations of a training step of one lane, as the definitions count them. */
export function flopsAStep(network) {
  const recipe = benchRecipe(network);
  const session = openSession(recipe, { lanes: 1, threads: 1, profile: true });
  session.runSlice({ maxMillis: 1, maxSteps: 1 });
  const flops = session.takeProfile().reduce((sum, time) => sum + time.flops, 0);
  session.close();
  return flops;
}
