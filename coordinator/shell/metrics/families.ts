/**
 * The coordinator's metrics, as they stand when somebody asks. docs/metrics.md says what each one means.
 *
 * Guarantees: reads only; costs a walk over workers, live attempts and sweeps, never over trials; every label has a small,
 * fixed or bounded set of values; no secret, no path of this machine, no parameter. Not here: who may ask (http.ts).
 */
import { statSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { busyLanes, indexOf, type State } from "../../core/state.js";
import { isEnded, SWEEP_TRANSITIONS, TRIAL_STATES, WORKER_TRANSITIONS } from "../../core/transitions.js";
import type { DeviceUse } from "../../core/types.js";
import type { Store } from "../../store/store.js";
import type { FeedHub } from "../feed-hub.js";
import type { Gate } from "../gate.js";
import type { Links } from "../links.js";
import type { Runtime } from "../runtime.js";
import { DOORS, type Meter, REFUSALS } from "./meter.js";
import type { Family, Histogram, Sample } from "./text.js";

export interface MeasuredParts {
  readonly state: State;
  readonly store: Store;
  readonly runtime: Runtime;
  readonly links: Links;
  readonly hub: FeedHub;
  readonly queries: Gate;
  readonly meter: Meter;
  readonly version: string;
}

/** Devices with rows of their own. */
const DEVICES_AT_MOST = 1_000;
/** Open sweeps with rows of their own; the newest. */
const SWEEPS_AT_MOST = 100;

export function families(parts: MeasuredParts): readonly Family[] {
  return [trialFamilies, workerFamilies, deviceFamilies, loopFamilies, outsideFamilies].flatMap((some) => some(parts));
}

function trialFamilies({ state, meter }: MeasuredParts): readonly Family[] {
  const all = new Map(TRIAL_STATES.map((name) => [name, 0]));
  const open: Sample[] = [];
  const sweeps = new Map<string, number>(Object.keys(SWEEP_TRANSITIONS).map((name) => [name, 0]));
  const newest = new Set([...state.indexes.open].sort((a, b) => b - a).slice(0, SWEEPS_AT_MOST));
  for (const sweep of state.sweeps.values()) {
    sweeps.set(sweep.state, (sweeps.get(sweep.state) ?? 0) + 1);
    const { counts } = indexOf(state, sweep.id);
    for (const name of TRIAL_STATES) {
      all.set(name, (all.get(name) ?? 0) + counts[name]);
      if (!isEnded(sweep.state) && newest.has(sweep.id))
        open.push({ labels: { sweep: String(sweep.id), state: name }, value: counts[name] });
    }
  }
  const leases = new Map<string, number>([
    ["offered", 0],
    ["running", 0],
  ]);
  for (const attempt of state.attempts.values()) leases.set(attempt.state, (leases.get(attempt.state) ?? 0) + 1);
  return [
    gauge("convsweep_sweeps", "Sweeps by state.", byLabel("state", sweeps)),
    gauge("convsweep_trials", "Trials of all sweeps by state, without reruns.", byLabel("state", all)),
    gauge("convsweep_sweep_trials", "Trials of each open sweep by state, of the 100 newest.", open),
    gauge("convsweep_leases", "Attempts that workers hold, by state.", byLabel("state", leases)),
    counter("convsweep_assignments_total", "Attempts offered to workers.", [{ value: meter.assignments }]),
    counter("convsweep_reports_total", "Reports recorded.", [{ value: meter.reports }]),
    counter("convsweep_duplicate_reports_total", "Reports that came again and changed nothing.", [
      { value: meter.duplicates },
    ]),
    counter("convsweep_fenced_messages_total", "Messages without a valid lease, refused.", [{ value: meter.fenced }]),
    counter("convsweep_events_total", "Lines of the record of events, by kind.", byLabel("kind", meter.records)),
  ];
}

function workerFamilies({ state, links }: MeasuredParts): readonly Family[] {
  const workers = new Map<string, number>(Object.keys(WORKER_TRANSITIONS).map((name) => [name, 0]));
  const lanes = new Map<string, number>();
  const busy = new Map<string, number>();
  for (const worker of state.workers.values()) {
    workers.set(worker.state, (workers.get(worker.state) ?? 0) + 1);
    if (worker.state === "gone") continue;
    for (const device of worker.devices) {
      lanes.set(device.backend, (lanes.get(device.backend) ?? 0) + device.lanes);
      busy.set(device.backend, (busy.get(device.backend) ?? 0) + busyLanes(state, worker, device.id));
    }
  }
  return [
    gauge("convsweep_workers", "Workers by state.", byLabel("state", workers)),
    gauge("convsweep_lanes", "Lanes of the workers that are not gone, by backend.", byLabel("backend", lanes)),
    gauge("convsweep_lanes_busy", "Lanes with a trial, by backend.", byLabel("backend", busy)),
    gauge("convsweep_links", "Open streams of workers.", [{ value: links.count }]),
  ];
}

/** Of devices that say something of themselves. */
function deviceFamilies({ state }: MeasuredParts): readonly Family[] {
  const all = [...state.workers.values()].flatMap(({ id, devices }) =>
    devices.flatMap((device) =>
      device.use === undefined ? [] : [{ labels: { worker: id, device: device.id }, use: device.use }],
    ),
  );
  const devices = all.slice(0, DEVICES_AT_MOST);
  const samples = (key: keyof DeviceUse): readonly Sample[] =>
    devices.flatMap(({ labels, use }) => {
      const value = use[key];
      return value === undefined ? [] : [{ labels, value }];
    });
  return [
    gauge("convsweep_device_utilization_ratio", "Share of the time in which a kernel ran.", samples("utilization")),
    gauge("convsweep_device_memory_used_bytes", "Memory in use, of all processes.", samples("memoryUsed")),
    gauge("convsweep_device_memory_bytes", "Memory that the device has.", samples("memoryTotal")),
    gauge("convsweep_device_temperature_celsius", "Temperature of the chip.", samples("temperature")),
    gauge("convsweep_device_power_watts", "Power of the board.", samples("power")),
  ];
}

function loopFamilies({ runtime, meter, queries, store }: MeasuredParts): readonly Family[] {
  const events = new Map<string, number>(meter.events);
  return [
    counter("convsweep_decisions_total", "Events decided, by kind.", byLabel("event", events)),
    gauge("convsweep_events_waiting", "Events that wait to be decided.", [{ value: runtime.waiting }]),
    histogram("convsweep_turn_events", "Events that one commit covers.", meter.turnEvents),
    histogram("convsweep_commit_mutations", "Changes in one commit.", meter.commitMutations),
    histogram("convsweep_commit_seconds", "Time of a commit, its flush to disk included.", meter.commitSeconds),
    histogram(
      "convsweep_dispatch_seconds",
      "From a message that frees a slot to the assignment written, to a millisecond.",
      meter.dispatchSeconds,
    ),
    histogram("convsweep_suggestion_seconds", "Time a sampler takes for one trial.", meter.suggestSeconds),
    histogram(
      "convsweep_loop_delay_seconds",
      "How late the event loop ran a timer, ten times a second.",
      meter.loopSeconds,
    ),
    gauge("convsweep_queries", "Queries by people: running and waiting.", [
      { labels: { state: "running" }, value: queries.running },
      { labels: { state: "waiting" }, value: queries.waiting },
    ]),
    counter("convsweep_commits_total", "Commits in the whole life of the store.", [{ value: store.info().commitSeq }]),
  ];
}

function outsideFamilies({ hub, meter, store, version }: MeasuredParts): readonly Family[] {
  const refused = DOORS.flatMap((door) =>
    REFUSALS.flatMap((reason) => {
      const value = meter.refused.get(`${door} ${reason}`) ?? 0;
      // A row for each pair that has happened, and one for each door from the start.
      return value > 0 || reason === "unauthenticated" ? [{ labels: { door, reason }, value }] : [];
    }),
  );
  const { path } = store.info();
  const memory = process.memoryUsage();
  const processor = process.cpuUsage();
  return [
    gauge("convsweep_viewers", "Viewers of the live feed.", [{ value: hub.viewers }]),
    gauge("convsweep_feed_buffered_bytes", "Bytes that viewers' sockets have not taken yet.", [
      { value: hub.bufferedBytes },
    ]),
    gauge("convsweep_feed_seq", "Number of the newest change in the feed.", [{ value: hub.seq }]),
    counter("convsweep_refused_total", "Requests turned away, by door and reason.", refused),
    gauge("convsweep_store_bytes", "Size of the database's files.", [
      { labels: { file: "database" }, value: sizeOf(path) },
      { labels: { file: "wal" }, value: sizeOf(`${path}-wal`) },
    ]),
    gauge("convsweep_info", "Always 1; the version is a label.", [
      { labels: { version, node: process.version }, value: 1 },
    ]),
    gauge("process_start_time_seconds", "When the process began, seconds since 1970.", [
      { value: performance.timeOrigin / 1_000 },
    ]),
    counter("process_cpu_seconds_total", "Processor time of the coordinator.", [
      { labels: { mode: "user" }, value: processor.user / 1e6 },
      { labels: { mode: "system" }, value: processor.system / 1e6 },
    ]),
    gauge("process_resident_memory_bytes", "Memory of the coordinator.", [{ value: memory.rss }]),
    gauge("process_heap_bytes", "JavaScript's memory, in use.", [{ value: memory.heapUsed }]),
  ];
}

function byLabel(label: string, counts: ReadonlyMap<string, number>): readonly Sample[] {
  return [...counts].map(([name, value]) => ({ labels: { [label]: name }, value }));
}

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { kind: "gauge", name, help, samples };
}

function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return { kind: "counter", name, help, samples };
}

function histogram(name: string, help: string, values: Histogram): Family {
  return { kind: "histogram", name, help, histogram: values };
}

/** 0 where there is none: a store in memory, a WAL that was folded back. */
function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}
