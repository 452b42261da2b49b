/**
 * A worker without an engine: speaks the Link as a real one does, trains nothing, and keeps a journal of every report that
 * the coordinator called durable. For kill cycles and load; needs the built dist/.
 *
 * Guarantees: messages are numbered without gaps and sent again after a reconnect until acknowledged; the value of a
 * report is a function of its attempt and epoch, so that a repeat says the same; `journal` hears of a report only after
 * its acknowledgement arrived.
 */
import { Metadata } from "@grpc/grpc-js";
import { LIMITS, PROTOCOL, TAKES_BATCHES } from "../../dist/proto/contract.js";
import { WorkerServiceClient } from "../../dist/proto/gen/convsweep/v1/worker.js";
import { reconnectDelay } from "../../dist/worker/backoff.js";
import { METRICS, reportedValue } from "./reported-value.mjs";

export class ModelWorker {
  /**
   * `options`: address, credentials, token, name, lanes; channel (gRPC options); epochMillis between an attempt's reports,
   * epochs of a trial, burst; stamp: the first metric is the time, milliseconds since 1970; onAcked(report, millis), onAssigned(millis since a lane became free, or null),
   * onTaken(attempt) of one that it still trained; retryMillis between Links, at most, or realBackoff: as the real worker waits.
   */
  constructor(options) {
    this.options = options;
    this.incarnation = `${options.name}-${process.pid}-${process.hrtime.bigint()}`;
    /** Numbered and not acknowledged: {seq, body, at}. */
    this.sent = [];
    this.seq = 0;
    this.acked = 0;
    /** Highest number written on this Link. */
    this.written = 0;
    this.received = 0;
    /** By attempt: {attempt, token, epoch, timer}. */
    this.held = new Map();
    this.freeSince = [];
    this.closed = false;
    this.links = 0;
    /** Links that ended since the last Welcome. */
    this.failures = 0;
    this.welcomed = false;
    /** The coordinator takes several messages in one. */
    this.batches = false;
    this.pumping = null;
  }

  open() {
    if (this.closed) return;
    const { address, credentials, token, channel, name, lanes } = this.options;
    this.client = new WorkerServiceClient(address, credentials, { "grpc.use_local_subchannel_pool": 1, ...channel });
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    const call = this.client.link(metadata);
    this.call = call;
    this.received = 0;
    this.welcomed = false;
    call.on("data", (message) => this.call === call && this.#hear(message));
    call.on("error", (error) => this.call === call && this.#down(error));
    call.on("end", () => this.call === call && this.#down(null));
    const running = [...this.held.values()].map(({ attempt, token: fence }) => ({ attempt, token: fence }));
    this.#write(0, {
      $case: "hello",
      value: {
        protocolMajor: PROTOCOL.major,
        protocolMinor: PROTOCOL.minor,
        worker: name,
        incarnation: this.incarnation,
        host: "model",
        pid: process.pid,
        version: "model",
        devices: [{ id: "cpu", name: "model", backend: "cpu", fingerprint: "model", memoryBytes: 2 ** 32, lanes }],
        running,
        previous: [],
        seenStore: "",
        seenGeneration: 0,
        seenCommit: 0,
        seenOpening: "",
      },
    });
  }

  close() {
    this.closed = true;
    clearInterval(this.beat);
    clearTimeout(this.retry);
    clearImmediate(this.pumping);
    for (const { timer } of this.held.values()) clearTimeout(timer);
    this.call?.cancel();
    this.client?.close();
  }

  #down(error) {
    this.call = null;
    this.client.close();
    clearInterval(this.beat);
    if (this.closed) return;
    this.options.onDown?.(error);
    this.retry = setTimeout(() => this.open(), this.#patience());
    this.failures += 1;
  }

  #patience() {
    if (this.options.realBackoff) return reconnectDelay(this.failures, Math.random());
    return 50 + Math.random() * (this.options.retryMillis ?? 500);
  }

  #write(seq, body) {
    this.call?.write({ seq, ack: this.received, body });
  }

  #send(body) {
    this.seq += 1;
    this.sent.push({ seq: this.seq, body, at: performance.now() });
    // As a real worker: what is said in one turn of the event loop goes as one message.
    this.pumping ??= setImmediate(() => {
      this.pumping = null;
      this.#pump();
    });
  }

  /** Writes what the window lets through. */
  #pump() {
    if (!this.welcomed) return;
    const from = this.written + 1;
    const upTo = Math.min(this.acked + LIMITS.linkWindow, this.seq);
    if (upTo < from) return;
    this.written = upTo;
    const bodies = this.sent.slice(from - this.acked - 1, upTo - this.acked).map(({ body }) => body);
    if (this.batches && bodies.length > 1) {
      this.#write(from, { $case: "batch", value: { messages: bodies.map((body) => ({ body })) } });
    } else for (const [i, body] of bodies.entries()) this.#write(from + i, body);
  }

  #acknowledged(seq) {
    while (this.sent.length > 0 && this.sent[0].seq <= seq) {
      const { body, at } = this.sent.shift();
      if (body.$case === "report") this.options.onAcked?.(body.value, performance.now() - at);
    }
    this.acked = Math.max(this.acked, seq);
    this.#pump();
  }

  #hear({ seq, ack, body }) {
    this.#acknowledged(Number(ack));
    if (seq > 0) this.received = Number(seq);
    switch (body?.$case) {
      case "welcome":
        this.#welcome(body.value);
        break;
      case "assign":
        this.#assign(body.value);
        break;
      case "stop":
        this.#end(body.value, { $case: "stopped", value: { weightsHash: "" } });
        break;
      case "revoke":
        this.#taken(body.value);
        break;
      default:
        break;
    }
  }

  #welcome({ received, drop, heartbeatMillis, protocolMinor }) {
    this.links += 1;
    this.batches = protocolMinor >= TAKES_BATCHES;
    this.failures = 0;
    this.#acknowledged(Number(received));
    for (const held of drop) this.#taken(held);
    this.welcomed = true;
    this.written = this.acked;
    this.#pump();
    clearInterval(this.beat);
    this.beat = setInterval(() => {
      const running = [...this.held.values()].map(({ attempt, token }) => ({ attempt, token }));
      this.#write(0, { $case: "heartbeat", value: { running, use: [] } });
    }, heartbeatMillis);
    this.options.onWelcome?.();
  }

  #assign({ attempt, token }) {
    const since = this.freeSince.shift();
    this.options.onAssigned?.(since === undefined ? null : performance.now() - since);
    const held = { attempt, token, epoch: 0, timer: null };
    this.held.set(attempt, held);
    this.#send({ $case: "started", value: { attempt, token, fingerprint: "model", fromEpoch: 0 } });
    this.#train(held);
  }

  /** `burst` reports at once, so much more seldom; the first ones at a random time, so that workers do not march in step. */
  #train(held) {
    const { epochs, epochMillis } = this.options;
    const burst = this.options.burst ?? 1;
    const wait = epochMillis * burst * (held.epoch === 0 ? Math.random() : 1);
    const train = () => {
      for (let i = 0; i < burst && held.epoch < epochs; i += 1) {
        held.epoch += 1;
        this.#report(held);
      }
      if (held.epoch < epochs) this.#train(held);
      else this.#end(held, { $case: "completed", value: { weightsHash: "ab".repeat(32) } });
    };
    // Training that takes no time: what is left is bookkeeping.
    if (wait === 0) train();
    else held.timer = setTimeout(train, wait);
  }

  #report({ attempt, token, epoch }) {
    const metrics = METRICS.map((name) => ({
      name,
      value: { $case: "number", value: reportedValue(attempt, epoch, name) },
    }));
    if (this.options.stamp) metrics[0].value.value = performance.timeOrigin + performance.now();
    this.#send({ $case: "report", value: { attempt, token, epoch, step: epoch, metrics } });
  }

  #end({ attempt, token }, outcome) {
    if (!this.#drop({ attempt })) return;
    this.#send({ $case: "ended", value: { attempt, token, outcome } });
    this.freeSince.push(performance.now());
  }

  #taken(held) {
    if (this.#drop(held)) this.options.onTaken?.(held);
  }

  #drop({ attempt }) {
    clearTimeout(this.held.get(attempt)?.timer);
    return this.held.delete(attempt);
  }
}
