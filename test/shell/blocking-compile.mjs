/** A thread's `compile` that holds its thread, as a folder of pictures would, until the file named by the text is there. */
import { existsSync, writeFileSync } from "node:fs";

export function compile({ text, fileName }) {
  writeFileSync(`${text}.begun`, "");
  const pause = new Int32Array(new SharedArrayBuffer(4));
  while (!existsSync(text)) Atomics.wait(pause, 0, 0, 5);
  return { ok: true, sweep: { spec: { name: fileName }, warnings: [] } };
}
