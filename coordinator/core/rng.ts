/**
 * Random numbers as a function of what they are for: Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers:
 * as easy as 1, 2, 3", SC 2011), keyed by the sweep's seed, counted by trial number and purpose.
 *
 * Guarantees: the numbers of (seed, trial, purpose) depend on nothing else, so trial 17 draws the same whatever the others
 * drew and whenever. Not for secrets.
 */

export interface Rng {
  /** 0 .. 2^32 - 1 */
  u32(): number;
  /** In [0, 1), 53 bits. */
  f64(): number;
  /** In (0, 1), 53 bits. */
  open(): number;
  /** Standard normal. */
  normal(): number;
  /** Another generator for a part of this purpose; does not depend on what was drawn here. */
  fork(part: string): Rng;
}

type Words = readonly [number, number, number, number];

/** `seed` 0 .. 2^53 - 1, `trial` 0 .. 2^32 - 1. */
export function rngFor(seed: number, trial: number, purpose: string): Rng {
  const key: readonly [number, number] = [seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0];
  const high = fnv(purpose, 0x811c9dc5);
  const low = fnv(purpose, high ^ 0x9e3779b9);
  let block = 0;
  let words: Words = [0, 0, 0, 0];
  let used = 4;
  let spare: number | null = null;

  const rng: Rng = {
    u32() {
      if (used === 4) {
        words = philox([block++, trial >>> 0, low, high], key);
        used = 0;
      }
      return words[used++] ?? 0;
    },
    f64() {
      const a = rng.u32() >>> 5;
      const b = rng.u32() >>> 6;
      return (a * 2 ** 26 + b) / 2 ** 53;
    },
    open() {
      const a = rng.u32() >>> 6;
      const b = rng.u32() >>> 6;
      return (a * 2 ** 26 + b + 0.5) / 2 ** 52;
    },
    /** Marsaglia's polar method: no sine, so the same digits on every platform that has one logarithm. */
    normal() {
      if (spare !== null) {
        const value = spare;
        spare = null;
        return value;
      }
      for (;;) {
        const u = 2 * rng.open() - 1;
        const v = 2 * rng.open() - 1;
        const s = u * u + v * v;
        if (s >= 1 || s === 0) continue;
        const factor = Math.sqrt((-2 * Math.log(s)) / s);
        spare = v * factor;
        return u * factor;
      }
    },
    fork(part) {
      return rngFor(seed, trial, `${purpose}/${part}`);
    },
  };
  return rng;
}

/** One block of four words. */
export function philox(counter: Words, key: readonly [number, number]): Words {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = mulHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0) >>> 0;
    const high1 = mulHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** Upper 32 bits of the 64-bit product, by 16-bit halves: a double holds no 64-bit product. */
function mulHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (cross >>> 16)) >>> 0;
}

/** FNV-1a over UTF-16 code units, 32 bits, with a last mix so that short names differ in every bit. */
function fnv(text: string, start: number): number {
  let hash = start >>> 0;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b) >>> 0;
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35) >>> 0;
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** 64 random bits as 16 hexadecimal digits. */
export function hex64(rng: Rng): string {
  return rng.u32().toString(16).padStart(8, "0") + rng.u32().toString(16).padStart(8, "0");
}
