/**
 * Times in milliseconds, counted in buckets 2 % wide from 10 µs up: what several processes saw can be added up, and a
 * percentile is right to 2 %.
 */
const LEAST = 0.01;
const STEP = Math.log(1.02);

export class Histogram {
  constructor(counts = {}) {
    this.counts = counts;
  }

  add(millis) {
    const bucket = Math.max(0, Math.ceil(Math.log(Math.max(millis, LEAST) / LEAST) / STEP));
    this.counts[bucket] = (this.counts[bucket] ?? 0) + 1;
  }

  merge({ counts }) {
    for (const [bucket, n] of Object.entries(counts)) this.counts[bucket] = (this.counts[bucket] ?? 0) + n;
  }

  /** `{n, p50, p99, p999, max}`: upper ends of the buckets. */
  summary() {
    const buckets = Object.entries(this.counts)
      .map(([bucket, n]) => [Number(bucket), n])
      .sort((a, b) => a[0] - b[0]);
    const n = buckets.reduce((sum, [, count]) => sum + count, 0);
    const at = (share) => {
      let seen = 0;
      for (const [bucket, count] of buckets) {
        seen += count;
        if (seen >= share * n) return Number((LEAST * Math.exp(bucket * STEP)).toFixed(2));
      }
      return null;
    };
    return { n, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
  }
}
