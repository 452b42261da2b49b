/**
 * How a wrong data file is told: its name, the byte where it goes wrong, what stands there and what should.
 *
 * Does not read files.
 */
import { ConvsweepError } from "../../proto/contract.js";

/** The first bytes of `file` are right up to `byte` (counted from 0). */
export function fileFault(file: string, byte: number, expected: string, found: string): ConvsweepError {
  return new ConvsweepError("CORRUPT", `${file}, byte ${byte}: expected ${expected}, found ${found}`, {
    path: `${file}:byte ${byte}`,
    expected,
    found,
  });
}

/** `bytes` has exactly the length it should, else where it ends too early or goes on. */
export function checkLength(file: string, found: number, expected: number): void {
  if (found === expected) return;
  throw fileFault(
    file,
    Math.min(found, expected),
    `the file to end after ${expected} bytes`,
    found < expected ? `its end, ${bytes(expected - found)} too early` : `${bytes(found - expected)} more`,
  );
}

const bytes = (count: number): string => (count === 1 ? "1 byte" : `${count} bytes`);

/** Every label is below `classes`; label i stands at byte `first + i * step` of the file. */
export function checkLabels(file: string, labels: Uint8Array, classes: number, first: number, step: number): void {
  const wrong = labels.findIndex((label) => label >= classes);
  if (wrong < 0) return;
  throw fileFault(file, first + wrong * step, `a label from 0 to ${classes - 1}`, String(labels[wrong]));
}
