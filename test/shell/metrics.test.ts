/** Prometheus' page: its grammar, its numbers against what was done, who may read it, and that it holds no secret. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { LOG_EVENTS } from "../../coordinator/shell/log.js";
import { Histogram, metricsText } from "../../coordinator/shell/metrics/text.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { LOG_EVENTS as WORKER_EVENTS } from "../../worker/log-events.js";
import { SPEC, type Started, start } from "./fixture.js";
import { HELLO, ScriptedWorker } from "./scripted-worker.js";

interface Parsed {
  readonly types: ReadonlyMap<string, string>;
  /** By name and labels, as written. */
  readonly values: ReadonlyMap<string, number>;
}

const SAMPLE =
  /^([a-z_:][a-z0-9_:]*)(\{[a-z_]+="(?:[^"\\\n]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\n])*")*\})? (NaN|[+-]?Inf|[-+0-9.e]+)$/;

/** Reads the text format, strictly. */
function parse(text: string): Parsed {
  const types = new Map<string, string>();
  const helps = new Set<string>();
  const values = new Map<string, number>();
  let family = "";
  expect(text.endsWith("\n")).toBe(true);
  for (const line of text.slice(0, -1).split("\n")) {
    const help = /^# HELP (\S+) \S.*$/.exec(line);
    const type = /^# TYPE (\S+) (gauge|counter|histogram)$/.exec(line);
    if (help) {
      family = help[1] ?? "";
      expect(helps.has(family), `${family} comes twice`).toBe(false);
      helps.add(family);
    } else if (type) {
      expect(type[1]).toBe(family);
      types.set(family, type[2] ?? "");
    } else {
      const sample = SAMPLE.exec(line);
      expect(sample, line).not.toBeNull();
      const name = sample?.[1] ?? "";
      const plain = types.get(family) === "histogram" ? name.replace(/_(bucket|sum|count)$/, "") : name;
      expect(plain, line).toBe(family);
      const key = `${name}${sample?.[2] ?? ""}`;
      expect(values.has(key), `${key} comes twice`).toBe(false);
      values.set(key, Number((sample?.[3] ?? "").replace("Inf", "Infinity")));
    }
  }
  for (const [name, type] of types) if (type === "counter") expect(name).toMatch(/_total$/);
  return { types, values };
}

async function ask({ coordinator }: Started, path: string, headers: Record<string, string> = {}) {
  const response = await fetch(`http://${coordinator.httpAddress}${path}`, { headers, redirect: "manual" });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

const bearer = (storeDir: string, role: "admin" | "worker") => ({
  authorization: `Bearer ${readFileSync(`${storeDir}/${role}.token`, "utf8").trim()}`,
});

const read = async (started: Started): Promise<Parsed> =>
  parse((await ask(started, "/metrics", bearer(started.storeDir, "admin"))).body);

/** Cumulative, ending at the count; `sum` within what the buckets allow. */
function expectHistogram({ values }: Parsed, name: string): number {
  const buckets = [...values].filter(([key]) => key.startsWith(`${name}_bucket{`));
  const bounds = buckets.map(([key]) => Number(/le="(.*)"/.exec(key)?.[1]?.replace("Inf", "Infinity")));
  expect(bounds).toEqual([...bounds].sort((a, b) => a - b));
  expect(bounds.at(-1)).toBe(Number.POSITIVE_INFINITY);
  const counts = buckets.map(([, value]) => value);
  expect(counts).toEqual([...counts].sort((a, b) => a - b));
  const count = values.get(`${name}_count`) ?? -1;
  expect(counts.at(-1)).toBe(count);
  const least = bounds.reduce(
    (sum, _bound, at) => sum + (bounds[at - 1] ?? 0) * ((counts[at] ?? 0) - (counts[at - 1] ?? 0)),
    0,
  );
  expect(values.get(`${name}_sum`)).toBeGreaterThanOrEqual(least);
  return count;
}

describe("the metrics", () => {
  it("count what happened", async () => {
    const started = await start({ openStore: (dir) => openSqliteStore(dir, { create: true }) });
    const { coordinator, storeDir } = started;
    const before = await read(started);
    expect(before.values.get("convsweep_reports_total")).toBe(0);
    expect(before.values.get('convsweep_workers{state="connected"}')).toBe(0);

    const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
    await worker.link();
    await coordinator.submitSweep({ ...SPEC, runCap: 3 });
    const first = await worker.next("assign");
    await worker.next("assign");
    worker.started(first);
    worker.report(first, 1, 0.5);
    worker.report(first, 2, 0.75);
    // The same epoch again, and a message with a token that nobody holds.
    worker.report(first, 2, 0.75);
    await worker.durable(worker.report({ attempt: first.attempt, token: first.token + 1_000 }, 1, 0.5));

    const after = await read(started);
    const value = (name: string) => after.values.get(name);
    expect(value("convsweep_reports_total")).toBe(2);
    expect(value("convsweep_duplicate_reports_total")).toBe(1);
    expect(value("convsweep_fenced_messages_total")).toBe(1);
    expect(value("convsweep_assignments_total")).toBe(2);
    expect(value('convsweep_trials{state="running"}')).toBe(1);
    expect(value('convsweep_trials{state="leased"}')).toBe(1);
    expect(value('convsweep_sweep_trials{sweep="1",state="leased"}')).toBe(1);
    expect(value('convsweep_sweeps{state="running"}')).toBe(1);
    expect(value('convsweep_leases{state="offered"}')).toBe(1);
    expect(value('convsweep_leases{state="running"}')).toBe(1);
    expect(value('convsweep_workers{state="connected"}')).toBe(1);
    expect(value('convsweep_lanes{backend="cpu"}')).toBe(2);
    expect(value('convsweep_lanes_busy{backend="cpu"}')).toBe(2);
    expect(value("convsweep_links")).toBe(1);
    expect(value("convsweep_events_waiting")).toBe(0);
    expect(value('convsweep_decisions_total{event="Reported"}')).toBe(4);
    expect(value('convsweep_events_total{kind="attempt-offered"}')).toBe(2);
    expect(value('convsweep_store_bytes{file="database"}')).toBeGreaterThan(4_096);
    expect(value('convsweep_store_bytes{file="wal"}')).toBeGreaterThan(0);
    expect(value("process_resident_memory_bytes")).toBeGreaterThan(10e6);
    // Two trials were drawn and one more looked for, at most.
    expect(expectHistogram(after, "convsweep_suggestion_seconds")).toBeGreaterThanOrEqual(2);
    const commits = expectHistogram(after, "convsweep_commit_seconds");
    expect(commits).toBeGreaterThanOrEqual(2);
    expect(expectHistogram(after, "convsweep_commit_mutations")).toBe(commits);
    expect(expectHistogram(after, "convsweep_turn_events")).toBe(commits);
    expectHistogram(after, "convsweep_loop_delay_seconds");
    // What counts never goes back, and no family goes away.
    expect([...after.types]).toEqual([...before.types]);
    for (const [key, was] of before.values) {
      const type = before.types.get(key.replace(/\{.*$/, "")) ?? "histogram";
      if (type !== "gauge") expect(after.values.get(key), key).toBeGreaterThanOrEqual(was);
    }
  });

  it("show what devices say of themselves, each number that they say, while the worker is heard of", async () => {
    const started = await start();
    const gpu = { id: "cuda:0", name: "A GPU", backend: "cuda", fingerprint: "f", memoryBytes: 8e10, lanes: 64 };
    const hello = { devices: [...HELLO.devices, gpu, { ...gpu, id: "cuda:1" }] };
    const worker = ScriptedWorker.of(started.storeDir, started.coordinator.grpcAddress, hello);
    await worker.link();
    const whole = { utilization: 0.87, memoryUsed: 9e9, memoryTotal: 8e10, temperature: 61, power: 412.345 };
    worker.heartbeat(
      [],
      [
        { device: "cuda:0", ...whole },
        { device: "cuda:1", power: 70 },
        { device: "cuda:9", power: 1 },
      ],
    );
    const shown = async () => {
      const { values } = await read(started);
      return Object.fromEntries([...values].filter(([key]) => key.startsWith("convsweep_device_")));
    };
    await expect.poll(shown).toEqual({
      'convsweep_device_utilization_ratio{worker="worker-1",device="cuda:0"}': 0.87,
      'convsweep_device_memory_used_bytes{worker="worker-1",device="cuda:0"}': 9e9,
      'convsweep_device_memory_bytes{worker="worker-1",device="cuda:0"}': 8e10,
      'convsweep_device_temperature_celsius{worker="worker-1",device="cuda:0"}': 61,
      'convsweep_device_power_watts{worker="worker-1",device="cuda:0"}': 412.345,
      'convsweep_device_power_watts{worker="worker-1",device="cuda:1"}': 70,
    });
    worker.cut();
    await expect.poll(shown).toEqual({});
  });

  it("count refusals, and are open to a session and to tokens that read", async () => {
    const started = await start();
    const { storeDir, coordinator } = started;
    for (const headers of [{}, { authorization: "Bearer nonsense" }, { authorization: "x" }]) {
      const refused = await ask(started, "/metrics", headers as Record<string, string>);
      expect(refused.status).toBe(401);
      expect(refused.body).not.toContain("convsweep_");
      expect(refused.headers.get("www-authenticate")).toBe("Bearer");
    }
    expect((await ask(started, "/metrics", bearer(storeDir, "worker"))).status).toBe(403);
    expect((await ask(started, "/")).status).toBe(401);
    expect((await ask(started, "/login?otp=nonsense")).status).toBe(401);
    const stranger = new ScriptedWorker(coordinator.grpcAddress, "cvs_worker_nonsense");
    stranger.open();
    await stranger.end();

    const link = new URL(coordinator.dashboardUrl);
    const cookie = (await ask(started, link.pathname + link.search)).headers.get("set-cookie")?.split(";")[0] ?? "";
    const seen = await ask(started, "/metrics", { cookie });
    expect(seen.status).toBe(200);
    expect(seen.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const { values } = parse(seen.body);
    const refusals = Object.fromEntries([...values].filter(([key]) => key.startsWith("convsweep_refused_total")));
    expect(refusals).toEqual({
      'convsweep_refused_total{door="grpc",reason="unauthenticated"}': 1,
      'convsweep_refused_total{door="http",reason="unauthenticated"}': 1,
      'convsweep_refused_total{door="login",reason="unauthenticated"}': 1,
      'convsweep_refused_total{door="feed",reason="unauthenticated"}': 0,
      'convsweep_refused_total{door="metrics",reason="forbidden"}': 1,
      'convsweep_refused_total{door="metrics",reason="unauthenticated"}': 3,
    });
  });

  it("hold no secret and no path", async () => {
    const started = await start();
    const worker = ScriptedWorker.of(started.storeDir, started.coordinator.grpcAddress);
    await worker.link();
    await started.coordinator.submitSweep({ ...SPEC, name: "a secret name" });
    const text = (await ask(started, "/metrics", bearer(started.storeDir, "admin"))).body;
    for (const role of ["admin", "worker"] as const) {
      expect(text).not.toContain(bearer(started.storeDir, role).authorization.slice("Bearer cvs_admin_".length));
    }
    expect(text).not.toContain("cvs_");
    expect(text).not.toContain(started.storeDir);
    expect(text).not.toContain("a secret name");
    expect(text).not.toContain("learning_rate");
  });

  it("and the names of log lines are all in docs/metrics.md, which lists nothing else", async () => {
    const { types } = await read(await start());
    const docs = readFileSync(new URL("../../docs/metrics.md", import.meta.url), "utf8");
    const listed = [...docs.matchAll(/^\| `([a-z_]+)` \| (gauge|counter|histogram) \|/gm)].map(([, name, type]) => [
      name,
      type,
    ]);
    expect(listed.sort()).toEqual([...types].sort());
    const tables = docs.split("| event of a worker |");
    const [ours, workers] = tables.map((text) =>
      Object.fromEntries([...text.matchAll(/^\| `([a-z-]+)` \| ([^|]+) \|$/gm)].map(([, name, when]) => [name, when])),
    );
    expect(ours).toEqual(LOG_EVENTS);
    expect(workers).toEqual(WORKER_EVENTS);
  });
});

describe("the text format", () => {
  it("escapes labels and writes numbers as Prometheus reads them", () => {
    const text = metricsText([
      {
        kind: "gauge",
        name: "a",
        help: "One\nline \\ only.",
        samples: [
          { labels: { x: 'q"b\\n\nl' }, value: Number.NaN },
          { labels: { x: "é" }, value: Number.POSITIVE_INFINITY },
          { value: 1e-9 },
        ],
      },
    ]);
    expect(text).toBe(
      '# HELP a One\\nline \\\\ only.\n# TYPE a gauge\na{x="q\\"b\\\\n\\nl"} NaN\na{x="é"} +Inf\na 1e-9\n',
    );
    parse(text);
  });

  it("puts a value on a bound into that bucket", () => {
    const histogram = new Histogram([1, 2]);
    for (const value of [0.5, 1, 1.5, 2, 99]) histogram.observe(value);
    expect(
      metricsText([{ kind: "histogram", name: "h", help: "h", histogram }])
        .split("\n")
        .slice(2),
    ).toEqual(['h_bucket{le="1"} 2', 'h_bucket{le="2"} 4', 'h_bucket{le="+Inf"} 5', "h_sum 104", "h_count 5", ""]);
  });

  it("refuses names that are none", () => {
    const family = { kind: "gauge", help: "h", samples: [] } as const;
    expect(() => metricsText([{ ...family, name: "a b" }])).toThrow("no new name");
    expect(() =>
      metricsText([
        { ...family, name: "a" },
        { ...family, name: "a" },
      ]),
    ).toThrow("no new name");
  });
});
