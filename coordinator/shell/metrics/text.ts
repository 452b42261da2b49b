/**
 * Prometheus' text format, version 0.0.4, and the one histogram that is needed for it.
 *
 * Guarantees: names and labels are legal or it throws; label values are escaped; a family is written once, with its help
 * and type. A page of our own and not prom-client: everything here is read from the coordinator at the moment of asking,
 * and that library would bring a registry of its own, OpenTelemetry's API and a quantile digest for it.
 * Not here: what is measured.
 */
import { ConvsweepError } from "../../../proto/contract.js";

export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export type Family =
  | {
      readonly kind: "gauge" | "counter";
      readonly name: string;
      readonly help: string;
      readonly samples: readonly Sample[];
    }
  | { readonly kind: "histogram"; readonly name: string; readonly help: string; readonly histogram: Histogram };

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Counts of values by upper bound. */
export class Histogram {
  readonly bounds: readonly number[];
  /** One a bound, then one for everything above; not cumulative. */
  readonly counts: number[];
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = [...bounds, 0].map(() => 0);
  }

  observe(value: number): void {
    let at = 0;
    while (at < this.bounds.length && value > (this.bounds[at] as number)) at += 1;
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.sum += value;
  }
}

export function metricsText(families: readonly Family[]): string {
  const lines: string[] = [];
  const seen = new Set<string>();
  for (const family of families) {
    const { name, help, kind } = family;
    if (!/^[a-z][a-z0-9_]*$/.test(name) || seen.has(name))
      throw new ConvsweepError("INTERNAL", `${name} is no new name for a metric`);
    seen.add(name);
    lines.push(`# HELP ${name} ${help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`, `# TYPE ${name} ${kind}`);
    if (family.kind === "histogram") lines.push(...histogramLines(name, family.histogram));
    else for (const { labels, value } of family.samples) lines.push(`${name}${labelText(labels)} ${numberText(value)}`);
  }
  return `${lines.join("\n")}\n`;
}

function histogramLines(name: string, { bounds, counts, sum }: Histogram): readonly string[] {
  let total = 0;
  const lines = counts.map((count, at) => {
    total += count;
    const bound = at < bounds.length ? numberText(bounds[at] as number) : "+Inf";
    return `${name}_bucket{le="${bound}"} ${total}`;
  });
  return [...lines, `${name}_sum ${numberText(sum)}`, `${name}_count ${total}`];
}

function labelText(labels: Readonly<Record<string, string>> | undefined): string {
  const pairs = Object.entries(labels ?? {}).map(([name, value]) => {
    if (!/^[a-z][a-z0-9_]*$/.test(name)) throw new ConvsweepError("INTERNAL", `${name} is no name for a label`);
    return `${name}="${value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
  });
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
