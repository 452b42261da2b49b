/**
 * A worker that has joined: agent, link and pool put together, until it ends.
 *
 * Guarantees: inputs reach the agent one after another; its effects are carried out in order. Resolves with the exit
 * code: 0 left as asked, 70 a device or its thread is lost, 77 certificates do not fit, 78 the coordinator refused it. With a thread stuck inside
 * the engine it ends the process itself, at once: nothing else would, and leases then run out. Not here: decisions
 * (agent.ts), the command line (main.ts).
 */

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { PROGRAM_VERSION, toConvsweepError } from "../proto/contract.js";
import { Agent } from "./agent.js";
import { AGENT_LIMITS } from "./agent-limits.js";
import type { AgentEffect, AgentInput } from "./agent-messages.js";
import { CheckpointClient } from "./checkpoint-client.js";
import type { JoinConfig } from "./config.js";
import { chooseDevices, deviceToWire } from "./devices.js";
import { tlsSource } from "./dial.js";
import type { Engine, Telemetry } from "./engine.js";
import { Link } from "./link.js";
import type { Log } from "./log.js";
import { Pool } from "./pool.js";
import { Spool } from "./spool.js";
import { SAMPLE_MILLIS, sampleDevices } from "./telemetry.js";

/** How long the threads may take to close their sessions before the process ends without that. */
const CLOSE_MILLIS = 3_000;

export interface JoinParts {
  readonly engine: Engine & Telemetry;
  readonly log: Log;
  /** Ends the process now, without waiting for anything. */
  readonly abort: () => void;
}

export interface JoinedWorker {
  /** Exit code; the worker has ended. */
  readonly ended: Promise<number>;
  /** Gives everything back to the coordinator and ends. */
  leave(reason: string): void;
}

export function joinCoordinator(config: JoinConfig, parts: JoinParts): JoinedWorker {
  const { engine, log } = parts;
  const devices = chooseDevices(engine.devices(), config);
  const incarnation = randomUUID();
  const spool = openSpool(config, incarnation, log);
  const agent = new Agent(
    {
      worker: config.name,
      incarnation,
      host: hostname(),
      pid: process.pid,
      version: PROGRAM_VERSION,
      devices: devices.map((d) => deviceToWire(engine, d)),
    },
    AGENT_LIMITS,
    spool?.before ?? null,
  );
  let resolve: (code: number) => void = () => {};
  const ended = new Promise<number>((settle) => {
    resolve = settle;
  });
  let ending = false;
  let timer: NodeJS.Timeout | null = null;

  const pool = new Pool({
    devices: devices.map(({ id, lanes, threads, memoryBytes }) => ({ id, lanes, threads, memoryBytes })),
    dataDir: config.dataDir,
    checkpointMillis: config.checkpointMillis,
    onMessage: (device, message) => dispatch({ kind: "thread", device, message }),
    onThreadDied: (device, error) => {
      log("error", "thread-trouble", `the thread of ${device} ended: ${error.message}`, { device, code: error.code });
      dispatch({ kind: "leave", reason: `the thread of ${device} ended: ${error.message}`, code: 70 });
    },
    onStuck: (device, silentMillis) => {
      log(
        "error",
        "thread-trouble",
        "a thread is stuck inside the engine; the process ends so that its leases run out",
        {
          device,
          silentMillis: Math.round(silentMillis),
        },
      );
      parts.abort();
    },
  });

  const tls = tlsSource(config.tlsFiles);
  const link = new Link({
    address: config.coordinator,
    token: config.token,
    tls,
    onEvent: (event) => {
      if (event.kind === "received") dispatch(event);
      else if (event.kind === "linkUp") dispatch({ kind: "linkUp" });
      else if (event.kind === "linkDown") {
        const { reason, retryMillis } = event;
        log("warn", "link-trouble", `no link to the coordinator: ${reason}`, {
          coordinator: config.coordinator,
          retryMillis: Math.round(retryMillis),
        });
        dispatch({ kind: "linkDown" });
      } else {
        log("error", "link-refused", event.reason, { coordinator: config.coordinator });
        finish(event.exitCode);
      }
    },
  });

  const checkpoints = new CheckpointClient({ address: config.coordinator, token: config.token, tls });

  function dispatch(input: AgentInput): void {
    if (ending) return;
    for (const effect of agent.handle(input, performance.now())) carryOut(effect);
    if (spool) {
      agent.spooled = spool.bytes;
      if (input.kind === "received" && input.message.body?.$case === "welcome")
        spool.welcomed(input.message.body.value.store);
    }
    if (timer) clearTimeout(timer);
    timer = null;
    const { wakeAt } = agent;
    if (wakeAt === null || ending) return;
    timer = setTimeout(() => dispatch({ kind: "tick" }), Math.max(0, Math.ceil(wakeAt - performance.now())));
  }

  function carryOut(effect: AgentEffect): void {
    switch (effect.kind) {
      case "send":
        // Before Hello: whom it names must be known to the next process too.
        spool?.ready();
        link.send(effect.message);
        break;
      case "flushSoon":
        setImmediate(() => dispatch({ kind: "flush" }));
        break;
      case "command":
        pool.command(effect.device, effect.command);
        break;
      case "spool":
        spool?.keep(effect.entry);
        break;
      case "unspool":
        spool?.drop(effect.entries);
        break;
      case "refused": {
        const { held, entries, reason } = effect;
        const file = spool?.refuse(held, entries, reason) ?? null;
        log(
          "warn",
          "report-refused",
          "the coordinator does not want what this worker has to say of an attempt; it is kept in a file",
          {
            ...held,
            messages: entries.length,
            why: reason,
            file,
          },
        );
        break;
      }
      case "download": {
        const { held, checkpoint } = effect;
        checkpoints.download(held, checkpoint).then(
          (data) => dispatch({ kind: "downloaded", held, lane: { epoch: checkpoint.epoch, data }, reason: "" }),
          (thrown: unknown) =>
            dispatch({ kind: "downloaded", held, lane: null, reason: toConvsweepError(thrown).message }),
        );
        break;
      }
      case "upload": {
        const { held, lane } = effect;
        checkpoints.upload(held, lane).then(
          (kept) => dispatch({ kind: "uploaded", held, kept, reason: "" }),
          (thrown: unknown) =>
            dispatch({ kind: "uploaded", held, kept: null, reason: toConvsweepError(thrown).message }),
        );
        break;
      }
      case "uploadArtifact": {
        const { held, artifact } = effect;
        checkpoints.uploadArtifact(held, artifact).then(
          (kept) => dispatch({ kind: "artifactUploaded", held, kept, reason: "" }),
          (thrown: unknown) =>
            dispatch({ kind: "artifactUploaded", held, kept: null, reason: toConvsweepError(thrown).message }),
        );
        break;
      }
      case "relink":
        link.relink(effect.reason);
        break;
      case "log":
        log(effect.level, effect.event, effect.message, effect.fields);
        break;
      case "exit":
        finish(effect.code);
        break;
    }
  }

  function finish(code: number): void {
    if (ending) return;
    ending = true;
    if (timer) clearTimeout(timer);
    endSampling();
    link.close();
    checkpoints.close();
    spool?.close();
    const late = setTimeout(() => {
      log("warn", "thread-trouble", "the threads did not close in time; the process ends without them");
      parts.abort();
    }, CLOSE_MILLIS);
    pool.close().then(
      () => {
        clearTimeout(late);
        resolve(code);
      },
      (thrown: unknown) => {
        log("error", "thread-trouble", `the threads did not close: ${String(thrown)}`);
        clearTimeout(late);
        resolve(code);
      },
    );
  }

  log("info", "worker-up", "worker starts", {
    coordinator: config.coordinator,
    devices: devices.map((d) => `${d.id}: ${d.lanes} lanes, ${d.threads} threads`).join("; "),
    engine: engine.version,
  });
  const endSampling = sampleDevices({
    engine,
    devices: devices.map(({ info }) => info),
    millis: SAMPLE_MILLIS,
    onSample: (use) => dispatch({ kind: "sampled", use }),
  });
  link.open();
  return { ended, leave: (reason) => dispatch({ kind: "leave", reason, code: 0 }) };
}

/** A worker that cannot keep its reports on disk keeps them in memory. */
function openSpool(config: JoinConfig, incarnation: string, log: Log): Spool | null {
  const worker = config.name;
  const inMemoryOnly = (why: string): void =>
    log("warn", "spool-trouble", "reports cannot be kept on disk, only in memory", { folder: config.spoolDir, why });
  try {
    const spool = Spool.open(config.spoolDir, worker, incarnation, inMemoryOnly);
    if (spool === null)
      log("warn", "spool-trouble", "another worker of this name runs here: reports are kept in memory only", {
        worker,
      });
    const left = spool?.before?.entries.length ?? 0;
    if (left > 0)
      log("info", "spool-found", "the worker before this one left messages; they are sent now", {
        worker,
        messages: left,
      });
    return spool;
  } catch (thrown) {
    inMemoryOnly(toConvsweepError(thrown).message);
    return null;
  }
}
