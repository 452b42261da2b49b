/**
 * PyTorch and TensorFlow beside the engine: whether an interpreter has them, and what rate they reach at their best.
 *
 * A way is a number of processes, threads each and a layout; processes run at once and their rates add up. For one trial
 * that is 1 or all threads, channels first or last; for several one process a core at 1 thread each, which on a CPU is the
 * fastest way to run several there, or one after another with all threads.
 */
import { spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const peers = [
  { name: "PyTorch", module: "torch", script: "pytorch_images_per_second.py", layouts: ["nchw", "nhwc"] },
  { name: "TensorFlow", module: "tensorflow", script: "tensorflow_images_per_second.py", layouts: ["nhwc"] },
];

/** Those that this interpreter can import, with their versions. */
export function findPeers(python) {
  return peers.flatMap((peer) => {
    const code = `import ${peer.module} as m; print(m.__version__)`;
    const found = spawnSync(python, ["-c", code], {
      encoding: "utf8",
      env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: "3" },
    });
    return found.status === 0 ? [{ ...peer, version: found.stdout.trim() }] : [];
  });
}

export function waysOf(peer, threads, flat) {
  const layouts = flat ? peer.layouts.slice(0, 1) : peer.layouts;
  return layouts.flatMap((layout) => [
    ...[...new Set([1, threads])].map((each) => ({ trials: 1, processes: 1, each, layout })),
    ...(threads > 1 ? [{ trials: 8, processes: threads, each: 1, layout }] : []),
  ]);
}

/** Images a second of all processes of a way together; null where the peer does not know the network. */
export async function measurePeer(peer, python, file, seconds, { processes, each, layout }) {
  const script = fileURLToPath(new URL(peer.script, import.meta.url));
  const one = () =>
    new Promise((resolve, reject) => {
      const child = spawn(python, [script, file, String(each), String(seconds), layout], {
        env: { ...process.env, OMP_NUM_THREADS: String(each), TF_CPP_MIN_LOG_LEVEL: "3" },
        stdio: ["ignore", "pipe", "inherit"],
      });
      let text = "";
      child.stdout.on("data", (chunk) => (text += chunk));
      child.on("error", reject);
      child.on("close", (code) => {
        if (code === 0) resolve(JSON.parse(text).images_per_second);
        else if (code === 3) resolve(null);
        else reject(new Error(`${peer.name} ended with ${code}`));
      });
    });
  const rates = await Promise.all(Array.from({ length: processes }, one));
  return rates.includes(null) ? null : rates.reduce((sum, rate) => sum + rate, 0);
}
