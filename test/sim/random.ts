/**
 * Random numbers of the simulator: counted, one stream a concern.
 *
 * Guarantees: the n-th number of a stream depends on seed, name and n alone. A fault taken out of a plan therefore shifts
 * no draw of anybody else, which is what makes shrinking work. 32 bits, for schedules, not for statistics.
 */

/** Finaliser of MurmurHash3: every bit of the input moves half of the output's. */
export function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

export class Stream {
  readonly #key: number;
  #count = 0;

  constructor(seed: number, name: number) {
    this.#key = mix(mix(seed) + Math.imul(name + 1, 0x9e3779b1));
  }

  bits(): number {
    this.#count += 1;
    return mix(this.#key + Math.imul(this.#count, 0x9e3779b1));
  }

  /** In [0, 1). */
  unit(): number {
    return this.bits() / 0x1_0000_0000;
  }

  /** A whole number from 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor(this.unit() * count);
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** Draws nothing where the answer is certain. */
  chance(probability: number): boolean {
    return probability > 0 && this.unit() < probability;
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new Error("nothing to pick from");
    return value;
  }
}
