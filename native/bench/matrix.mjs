/**
 * matmul and shortestPaths beside NumPy and SciPy, in one run.
 *
 * usage: node native/bench/matrix.mjs [--sizes 1024,2048] [--rounds R] [--python PATH]
 *
 * The floor of a product is 2 n^3 over the measured multiply-add peak; that of shortest paths is 2 n^3 additions and
 * comparisons over half of it, since neither fuses.
 */
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { loadEngine } from "../../dist/native/index.js";

const { values: flags } = parseArgs({
  options: {
    sizes: { type: "string", default: "1024,2048" },
    rounds: { type: "string", default: "5" },
    python: { type: "string", default: "python3" },
  },
});
const rounds = Number(flags.rounds);
const threads = availableParallelism();
const engine = loadEngine();
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

const peers = `
import sys, time, json
import numpy as np
n, rounds = int(sys.argv[1]), int(sys.argv[2])
rng = np.random.default_rng(1)
a = rng.random((n, n), dtype=np.float32); b = rng.random((n, n), dtype=np.float32)
def timed(f):
    f(); out = []
    for _ in range(rounds):
        t = time.perf_counter(); f(); out.append(time.perf_counter() - t)
    return sorted(out)[len(out) // 2]
r = {"matmul": timed(lambda: a @ b)}
try:
    from scipy.sparse.csgraph import floyd_warshall
    rounds = min(rounds, 2 if n > 1024 else 3)
    r["shortestPaths"] = timed(lambda: floyd_warshall(a, overwrite=False))
except ImportError:
    pass
print(json.dumps(r))
`;

async function timed(call) {
  await call();
  const seconds = [];
  for (let round = 0; round < rounds; round += 1) {
    const begin = process.hrtime.bigint();
    await call();
    seconds.push(Number(process.hrtime.bigint() - begin) / 1e9);
  }
  return median(seconds);
}

for (const n of flags.sizes.split(",").map(Number)) {
  const draw = () => Float32Array.from({ length: n * n }, () => Math.random());
  const a = draw();
  const b = draw();
  const ours = {
    matmul: await timed(() =>
      engine.matmul({
        device: "cpu",
        a,
        b,
        rows: n,
        inner: n,
        columns: n,
        transposeA: false,
        transposeB: false,
        threads,
      }),
    ),
    shortestPaths: await timed(() =>
      engine.shortestPaths({ device: "cpu", vertices: n, weights: a, next: false, threads }),
    ),
  };
  const answer = spawnSync(flags.python, ["-c", peers, String(n), String(rounds)], { encoding: "utf8" });
  const theirs = answer.status === 0 ? JSON.parse(answer.stdout) : {};
  for (const [what, peer] of [
    ["matmul", "NumPy"],
    ["shortestPaths", "SciPy"],
  ]) {
    const rate = ((2 * n ** 3) / ours[what] / 1e9).toFixed(0);
    const other = theirs[what];
    const beside =
      other === undefined
        ? `no ${peer}`
        : `${peer} ${(other * 1e3).toFixed(0)} ms, ratio ${(other / ours[what]).toFixed(1)}`;
    process.stdout.write(
      `${what} ${n}: ${(ours[what] * 1e3).toFixed(0)} ms (${rate} Gop/s on ${threads} threads), ${beside}\n`,
    );
  }
}
