/** The keyed generator against the published vectors of Philox4x32-10, BigInt arithmetic, and tests of fit. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hex64, philox, rngFor } from "../../coordinator/core/rng.js";
import { chiSquare, kolmogorovSmirnov, normalCdf, uniformCdf } from "./statistics.js";

const N = 40_000;

type Words = readonly [number, number, number, number];

/** The definition, in arithmetic that cannot overflow. */
function reference(counter: Words, key: readonly [number, number]): readonly number[] {
  const mask = 0xffffffffn;
  let [c0, c1, c2, c3] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k0, k1] = key.map(BigInt) as [bigint, bigint];
  for (let round = 0; round < 10; round++) {
    const p0 = 0xd2511f53n * c0;
    const p1 = 0xcd9e8d57n * c2;
    [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
    [k0, k1] = [(k0 + 0x9e3779b9n) & mask, (k1 + 0xbb67ae85n) & mask];
  }
  return [c0, c1, c2, c3].map(Number);
}

describe("philox", () => {
  // Random123, kat_vectors: philox4x32 10.
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)("agrees with the published vector %#", (counter, key, expected) => {
    expect(philox(counter, key)).toEqual(expected);
  });

  it("agrees with exact arithmetic", () => {
    const word = fc.nat(0xffffffff);
    fc.assert(
      fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
        expect(philox(counter, key)).toEqual(reference(counter, key));
      }),
    );
  });
});

describe("rngFor", () => {
  it("depends on seed, trial and purpose, and on nothing else", () => {
    const first = (seed: number, trial: number, purpose: string): string => hex64(rngFor(seed, trial, purpose));
    const base = first(7, 3, "parameters");
    expect(first(7, 3, "parameters")).toBe(base);
    const others = [
      first(8, 3, "parameters"),
      first(7, 4, "parameters"),
      first(7, 3, "seed"),
      first(7 + 2 ** 32, 3, "parameters"),
    ];
    expect(new Set([base, ...others]).size).toBe(5);
    const rng = rngFor(7, 3, "parameters");
    const forked = hex64(rng.fork("l2"));
    for (let i = 0; i < 100; i++) rng.f64();
    expect(hex64(rng.fork("l2"))).toBe(forked);
    expect(base).toMatch(/^[0-9a-f]{16}$/);
  });

  it("is uniform within a stream and across trials, purposes and seeds", () => {
    const stream = rngFor(1, 0, "a");
    const samples = {
      stream: Array.from({ length: N }, () => stream.f64()),
      trials: Array.from({ length: N }, (_, trial) => rngFor(1, trial, "a").f64()),
      purposes: Array.from({ length: N }, (_, i) => rngFor(1, 0, `p${i}`).f64()),
      seeds: Array.from({ length: N }, (_, seed) => rngFor(seed, 0, "a").f64()),
    };
    for (const [name, sample] of Object.entries(samples)) {
      expect(kolmogorovSmirnov(sample, uniformCdf(0, 1)), name).toBeLessThan(1);
    }
  });

  it("has no bit that prefers a side and no neighbours that agree", () => {
    for (const [name, words] of Object.entries({
      stream: ((rng) => Array.from({ length: N }, () => rng.u32()))(rngFor(3, 1, "bits")),
      trials: Array.from({ length: N }, (_, trial) => rngFor(3, trial, "bits").u32()),
    })) {
      const pairs = words.map((word, index) => (word ^ (words[index + 1] ?? 0)) >>> 0).slice(0, -1);
      for (let bit = 0; bit < 32; bit++) {
        const ones = words.filter((word) => (word >>> bit) & 1).length;
        const flips = pairs.filter((word) => (word >>> bit) & 1).length;
        // Five standard deviations of a fair coin.
        expect(Math.abs(ones - N / 2), `${name} bit ${bit}`).toBeLessThan(2.5 * Math.sqrt(N));
        expect(Math.abs(flips - N / 2), `${name} pair bit ${bit}`).toBeLessThan(2.5 * Math.sqrt(N));
      }
    }
  });

  it("draws pairs that fill the square", () => {
    const rng = rngFor(5, 9, "square");
    const counts = new Array<number>(256).fill(0);
    for (let i = 0; i < N; i++) {
      const cell = Math.floor(rng.f64() * 16) * 16 + Math.floor(rng.f64() * 16);
      counts[cell] = (counts[cell] ?? 0) + 1;
    }
    expect(chiSquare(counts, new Array<number>(256).fill(1 / 256))).toBeLessThan(1);
  });

  it("draws standard normals", () => {
    const rng = rngFor(11, 0, "normal");
    const sample = Array.from({ length: N }, () => rng.normal());
    expect(kolmogorovSmirnov(sample, normalCdf(0, 1))).toBeLessThan(1);
    const tails = sample.filter((x) => Math.abs(x) > 3).length;
    // 0.27 % of 40,000 is 108, standard deviation 10.4.
    expect(Math.abs(tails - 108)).toBeLessThan(45);
  });
});
