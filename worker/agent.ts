/**
 * What the worker holds and owes: a pure state machine between the link and the devices' threads.
 *
 * Guarantees: every report and every end of an attempt reaches the coordinator, once each and in order, over any number
 * of lost links (a repeat carries the same number); what is held is known by (attempt, token) and listed in `Hello` and
 * every heartbeat until its end is acknowledged; a message for another token changes nothing. Losing the coordinator
 * stops nothing: training goes on, until more messages wait than the memory set aside for them holds, then it pauses.
 *
 * No I/O, no clock of its own: the time is an argument, and everything to be done comes back as effects. Fencing is the
 * coordinator's: it alone decides which token counts.
 */
import { ConvsweepError, TAKES_BATCHES, TIMES } from "../proto/contract.js";
import type { DeviceUse } from "../proto/gen/convsweep/v1/types.js";
import type { Assign, LinkRequest, LinkResponse, Stop, Welcome } from "../proto/gen/convsweep/v1/worker.js";
import { AGENT_LIMITS } from "./agent-limits.js";
import type { AgentEffect, AgentInput, AgentLimits, Identity, Predecessor } from "./agent-messages.js";
import { type Attempt, about, attemptOf, lastWords } from "./attempt.js";
import { messagesOf } from "./batches.js";
import { helloOf } from "./hello.js";
import type { LogEvent } from "./log-events.js";
import type { Held, LogFields, LogLevel, Outcome, ThreadCommand, ThreadMessage } from "./messages.js";
import { Outbox } from "./outbox.js";
import { artifactBody, checkpointBody, endedBody, jobFromWire, reportBody, startedBody } from "./wire.js";

export class Agent {
  private readonly identity: Identity;
  private readonly limits: AgentLimits;
  private readonly outbox: Outbox;
  private readonly attempts = new Map<string, Attempt>();
  private effects: AgentEffect[] = [];
  /** `greeting`: Hello is out, Welcome is not in; nothing numbered may be sent yet. */
  private link: "down" | "greeting" | "up" = "down";
  /** The coordinator of this link takes several messages in one. */
  private batches = false;
  /** A `flush` was asked for and has not come. */
  private flushing = false;
  /** Highest number of the coordinator handled on this link. */
  private received = 0;
  private store: string | null = null;
  /** The newest heard of that store. */
  private generation = 0;
  private opening = "";
  private commit = 0;
  private readonly previous: readonly string[];
  private spooledBytes = 0;
  private heartbeatMillis: number = TIMES.heartbeat;
  private lastHeartbeat = 0;
  private use: readonly DeviceUse[] = [];
  private draining = false;
  private paused = false;
  private started = false;
  private leaving: { readonly code: number; readonly deadline: number } | null = null;

  constructor(identity: Identity, limits: AgentLimits = AGENT_LIMITS, before: Predecessor | null = null) {
    this.identity = identity;
    this.limits = limits;
    this.outbox = new Outbox(limits.window, {
      kept: (entry) => this.effects.push({ kind: "spool", entry }),
      settled: (entries) => {
        if (entries.length > 0) this.effects.push({ kind: "unspool", entries });
      },
    });
    this.previous = before?.lives ?? [];
    if (before) this.inherit(before);
  }

  /** What dead processes had to say is said for it, and that it trains no more. */
  private inherit(before: Predecessor): void {
    if (before.store !== "") this.store = before.store;
    for (const { held, body } of lastWords(before)) {
      if (!this.find(held)) this.attempts.set(held.attempt, attemptOf(held, "", null, "ended"));
      this.outbox.put(body, held);
    }
  }

  /** What the worker holds now, in the order it was assigned. */
  get held(): readonly Held[] {
    return [...this.attempts.values()].map((a) => a.held);
  }

  /** Messages that are not yet durable at the coordinator. */
  get owed(): number {
    return this.outbox.size;
  }

  /** When the next `tick` is of use; `null` for never. */
  get wakeAt(): number | null {
    const heartbeat = this.link === "up" ? this.lastHeartbeat + this.heartbeatMillis : null;
    const deadline = this.leaving?.deadline ?? null;
    return heartbeat !== null && deadline !== null ? Math.min(heartbeat, deadline) : (heartbeat ?? deadline);
  }

  /** Bytes that the spool holds, as its keeper says. */
  set spooled(bytes: number) {
    this.spooledBytes = bytes;
  }

  handle(input: AgentInput, now: number): readonly AgentEffect[] {
    // What was inherited is spooled anew with the first input.
    const started = this.started ? [] : this.effects;
    this.started = true;
    this.effects = [...started];
    const handledBefore = this.received;
    switch (input.kind) {
      case "linkUp":
        this.onLinkUp();
        break;
      case "linkDown":
        this.link = "down";
        break;
      case "received":
        this.onReceived(input.message, now);
        break;
      case "thread":
        this.onThread(input.device, input.message, now);
        break;
      case "downloaded":
        this.onDownloaded(input);
        break;
      case "uploaded":
        this.onUploaded(input);
        break;
      case "artifactUploaded":
        this.onArtifactUploaded(input);
        break;
      case "sampled":
        this.use = input.use;
        break;
      case "leave":
        this.leave(input.reason, input.code, now);
        break;
      case "tick":
        this.onTick(now);
        break;
      case "flush":
        this.flushing = false;
        break;
    }
    if (input.kind === "thread") this.flushSoon();
    else this.flush(this.link === "up" && this.received > handledBefore);
    this.watchOutbox();
    this.finish();
    return this.effects;
  }

  private onLinkUp(): void {
    const { store, generation, commit, opening } = this;
    const value = helloOf(this.identity, this.held, this.previous, { store: store ?? "", generation, commit, opening });
    this.link = "greeting";
    this.received = 0;
    this.effects.push({ kind: "send", message: { seq: 0, ack: 0, body: { $case: "hello", value } } });
  }

  private onReceived(message: LinkResponse, now: number): void {
    if (this.link === "down") return;
    try {
      if (message.seq > 0) {
        if (message.seq <= this.received) return;
        if (message.seq !== this.received + 1) {
          throw new ConvsweepError("PROTOCOL", "a message of the coordinator is missing", {
            expected: `number ${this.received + 1}`,
            found: String(message.seq),
          });
        }
      }
      const { body } = message;
      if (this.link === "greeting") {
        if (body?.$case !== "welcome") {
          throw new ConvsweepError("PROTOCOL", "the coordinator spoke before its welcome", {
            expected: "welcome",
            found: body?.$case ?? "nothing",
          });
        }
        this.onWelcome(body.value, now);
      }
      this.acknowledge(message.ack);
      this.commit = Math.max(this.commit, message.commit);
      switch (body?.$case) {
        case "assign":
          this.onAssign(body.value);
          break;
        case "stop":
          this.onStop(body.value);
          break;
        case "revoke":
          this.forget(body.value, "revoked: its lease is another's");
          break;
        case "drain":
          this.log("info", "drain-asked", "the coordinator wants this worker to take no more trials", {
            held: this.attempts.size,
          });
          this.drain();
          break;
        case "welcome":
        case undefined:
          break;
      }
      if (message.seq > 0) this.received = message.seq;
    } catch (thrown) {
      if (!(thrown instanceof ConvsweepError) || thrown.code !== "PROTOCOL") throw thrown;
      this.link = "down";
      const found = `expected ${thrown.expected ?? ""}, found ${thrown.found ?? ""}`;
      this.effects.push({ kind: "relink", reason: `${thrown.message}: ${found}` });
    }
  }

  private onWelcome(welcome: Welcome, now: number): void {
    const another = this.store !== null && this.store !== welcome.store;
    this.store = welcome.store;
    if (another) {
      // Tokens and attempts of one store mean nothing in another, even where they look alike.
      this.log("warn", "other-coordinator", "this is another coordinator than before; everything held is dropped", {
        held: this.attempts.size,
      });
      for (const held of this.held) this.forget(held, "held for another coordinator");
      this.outbox.clear();
    } else {
      this.acknowledge(welcome.received);
      for (const held of welcome.drop) this.forget(held, "the coordinator no longer counts on it");
      const older = welcome.generation !== this.generation || welcome.commit < this.commit || welcome.lost > 0;
      if (older) this.heal(welcome);
    }
    this.generation = welcome.generation;
    this.opening = welcome.opening;
    this.commit = welcome.commit;
    this.outbox.rewind();
    this.link = "up";
    this.batches = welcome.protocolMinor >= TAKES_BATCHES;
    this.heartbeatMillis = welcome.heartbeatMillis > 0 ? welcome.heartbeatMillis : TIMES.heartbeat;
    this.lastHeartbeat = now;
    if (this.draining && !this.outbox.has("draining")) this.outbox.put({ $case: "draining", value: {} }, null);
    this.log("info", "link-up", "joined the coordinator", { held: this.attempts.size, owed: this.outbox.size });
  }

  /** It is older than it was: what it lost of the attempts that still count is said again; repeats change nothing. */
  private heal({ generation, commit }: Welcome): void {
    const said = "the coordinator is older than it was; what it acknowledged is sent again";
    const messages = this.outbox.again();
    this.log("warn", "rollback-detected", said, { messages, generation, commit, known: this.commit });
  }

  private acknowledge(seq: number): void {
    for (const { body, held } of this.outbox.acknowledge(seq)) {
      if (body.$case !== "ended" || !held) continue;
      this.outbox.settle(held);
      if (this.find(held)) this.attempts.delete(held.attempt);
    }
  }

  private onAssign(assign: Assign): void {
    const job = jobFromWire(assign);
    const held: Held = { attempt: job.attempt, token: job.token };
    const known = this.attempts.get(job.attempt);
    if (known && known.held.token > job.token) return;
    if (known && known.held.token === job.token) {
      // The offer came twice. If the first Started is on its way, a second one is a repeat that changes nothing.
      if (known.phase === "running") this.outbox.put(startedBody(held, known.fingerprint, known.fromEpoch), held);
      return;
    }
    if (known) this.forget(known.held, "leased anew");
    const attempt = attemptOf(held, assign.device, job, "assigned");
    this.attempts.set(job.attempt, attempt);
    if (this.draining) {
      this.end(attempt, { kind: "released", reason: "the worker takes no more trials" });
    } else if (!this.identity.devices.some((d) => d.id === assign.device)) {
      const error = new ConvsweepError("ENGINE_NO_DEVICE", "assigned to a device that this worker does not have", {
        expected: this.identity.devices.map((d) => d.id).join(", "),
        found: assign.device,
      });
      this.end(attempt, { kind: "failed", error: error.toData() });
    } else {
      this.log("debug", "attempt-assigned", "assigned", about(held, { device: assign.device, alone: job.alone }));
      this.begin(attempt);
    }
  }

  /** With the best checkpoint that has not been tried, else at the start. */
  private begin(attempt: Attempt): void {
    const [checkpoint, ...untried] = attempt.untried;
    attempt.untried = untried;
    if (checkpoint) this.effects.push({ kind: "download", held: attempt.held, checkpoint });
    else if (attempt.job) this.command(attempt.device, { kind: "assign", job: attempt.job, from: null });
  }

  private onDownloaded({ held, lane, reason }: Extract<AgentInput, { readonly kind: "downloaded" }>): void {
    const attempt = this.training(held);
    if (!attempt?.job) return;
    if (lane) this.command(attempt.device, { kind: "assign", job: attempt.job, from: lane });
    else {
      this.log("warn", "checkpoint-trouble", "a checkpoint cannot be used", about(attempt.held, { why: reason }));
      this.begin(attempt);
    }
  }

  private onUploaded({ held, kept, reason }: Extract<AgentInput, { readonly kind: "uploaded" }>): void {
    const attempt = this.training(held);
    if (!attempt) return;
    attempt.uploading = false;
    if (kept) this.outbox.put(checkpointBody(attempt.held, kept), attempt.held);
    else
      this.log("warn", "checkpoint-trouble", "a checkpoint was not kept; training goes on", {
        ...attempt.held,
        why: reason,
      });
    if (attempt.outcome) this.endWhenUploaded(attempt, attempt.outcome);
    else this.command(attempt.device, { kind: "uploaded", held: attempt.held });
  }

  private onArtifactUploaded({ held, kept, reason }: Extract<AgentInput, { readonly kind: "artifactUploaded" }>): void {
    const attempt = this.training(held);
    if (!attempt) return;
    attempt.artifacts -= 1;
    if (kept) this.outbox.put(artifactBody(attempt.held, kept), attempt.held);
    else
      this.log("warn", "artifact-trouble", "a file was not kept; training goes on", { ...attempt.held, why: reason });
    if (attempt.outcome) this.endWhenUploaded(attempt, attempt.outcome);
  }

  /** A trial that will go on is said to have stopped once its lane is safe, and every trial once its files are. */
  private endWhenUploaded(attempt: Attempt, outcome: Outcome): void {
    const waits = attempt.artifacts > 0 || (attempt.uploading && outcome.kind === "stopped");
    if (waits) attempt.outcome = outcome;
    else this.end(attempt, outcome);
  }

  private onStop({ attempt: id, token, save }: Stop): void {
    const attempt = this.training({ attempt: id, token });
    if (attempt) this.command(attempt.device, { kind: "stop", held: attempt.held, save });
  }

  private onThread(device: string, message: ThreadMessage, now: number): void {
    switch (message.kind) {
      case "log":
        this.log(message.level, message.event, message.message, { ...message.fields, device });
        break;
      case "lost":
        this.log("error", "device-lost", `device ${device} is lost: ${message.error.message}`, {
          device,
          code: message.error.code,
        });
        this.leave(`device ${device} is lost`, 70, now);
        break;
      case "started": {
        const attempt = this.training(message.held);
        if (!attempt) break;
        attempt.phase = "running";
        attempt.fingerprint = message.fingerprint;
        attempt.fromEpoch = message.fromEpoch;
        this.outbox.put(startedBody(attempt.held, message.fingerprint, message.fromEpoch), attempt.held);
        this.log("info", "attempt-started", "started", about(attempt.held, { device, fromEpoch: message.fromEpoch }));
        break;
      }
      case "unusable": {
        const attempt = this.training(message.held);
        if (!attempt) break;
        this.log("warn", "checkpoint-trouble", "a checkpoint cannot be used", {
          ...attempt.held,
          why: message.error.message,
        });
        this.begin(attempt);
        break;
      }
      case "saved": {
        const attempt = this.training(message.held);
        if (!attempt) break;
        attempt.uploading = true;
        this.effects.push({ kind: "upload", held: attempt.held, lane: message.lane });
        break;
      }
      case "artifact": {
        const attempt = this.training(message.held);
        if (!attempt) break;
        attempt.artifacts += 1;
        this.effects.push({ kind: "uploadArtifact", held: attempt.held, artifact: message.artifact });
        break;
      }
      case "report": {
        const attempt = this.training(message.held);
        const { epoch, step, metrics } = message;
        if (attempt) this.outbox.put(reportBody(attempt.held, epoch, step, metrics), attempt.held);
        break;
      }
      case "ended": {
        const attempt = this.training(message.held);
        if (attempt) this.endWhenUploaded(attempt, message.outcome);
        break;
      }
    }
  }

  private onTick(now: number): void {
    if (this.link === "up" && now >= this.lastHeartbeat + this.heartbeatMillis) {
      this.lastHeartbeat = now;
      const value = { running: [...this.held], use: [...this.use] };
      this.send({ seq: 0, ack: this.received, body: { $case: "heartbeat", value } });
    }
    if (this.leaving && now >= this.leaving.deadline) {
      this.log("warn", "worker-leaving", "leaving although the coordinator has not acknowledged everything", {
        owed: this.outbox.size,
      });
      this.effects.push({ kind: "exit", code: this.leaving.code });
    }
  }

  private leave(reason: string, code: number, now: number): void {
    if (this.leaving) return;
    this.leaving = { code, deadline: now + this.limits.flushMillis };
    this.log("info", "worker-leaving", `leaving: ${reason}`, { held: this.attempts.size });
    // With no link and nothing to give back there is nobody to tell.
    if (this.link === "down" && this.attempts.size === 0 && this.outbox.size === 0) return;
    // A fault may be an attempt's doing: those given back before the drain count as lost, and none goes round for ever.
    // Who leaves as asked drains first, or what is given back would come straight back as new offers.
    if (code === 0) this.drain();
    for (const attempt of this.attempts.values()) {
      if (attempt.phase === "ended") continue;
      this.command(attempt.device, { kind: "drop", held: attempt.held });
      // One that only waits for its files has ended; one that stopped to go on elsewhere has not, without its lane.
      const over = attempt.outcome !== null && attempt.outcome.kind !== "stopped" ? attempt.outcome : null;
      this.end(attempt, over ?? { kind: "released", reason });
    }
    this.drain();
  }

  private drain(): void {
    if (this.draining) return;
    this.draining = true;
    this.outbox.put({ $case: "draining", value: {} }, null);
  }

  private end(attempt: Attempt, outcome: Outcome): void {
    attempt.phase = "ended";
    this.outbox.put(endedBody(attempt.held, outcome), attempt.held);
    const level = outcome.kind === "failed" ? "warn" : "info";
    const why = outcome.kind === "failed" ? outcome.error.message : outcome.kind === "released" ? outcome.reason : "";
    this.log(level, "attempt-ended", outcome.kind, about(attempt.held, why === "" ? {} : { why }));
  }

  /** The attempt with this very token; another token is another lease. */
  private find(held: Held): Attempt | null {
    const attempt = this.attempts.get(held.attempt);
    return attempt && attempt.held.token === held.token ? attempt : null;
  }

  /** `null` once it was dropped or ended: what the thread said before it heard of that no longer counts. */
  private training(held: Held): Attempt | null {
    const attempt = this.find(held);
    return attempt && attempt.phase !== "ended" ? attempt : null;
  }

  private forget(held: Held, reason: string): void {
    const attempt = this.find(held);
    if (!attempt) return;
    this.attempts.delete(attempt.held.attempt);
    const refused = this.outbox.discard(attempt.held);
    if (refused.length > 0) this.effects.push({ kind: "refused", held: attempt.held, entries: refused, reason });
    if (attempt.phase !== "ended") this.command(attempt.device, { kind: "drop", held: attempt.held });
    this.log("info", "attempt-dropped", "dropped", about(attempt.held, { why: reason }));
  }

  /** Sends what may go out; a bare acknowledgement if the coordinator would otherwise not hear of its message. */
  private flush(acknowledge: boolean): void {
    if (this.link !== "up") return;
    const due = this.outbox.due();
    for (const message of messagesOf(due, this.received, this.batches)) this.send(message);
    if (acknowledge && due.length === 0) this.send({ seq: 0, ack: this.received, body: undefined });
  }

  /** What the lanes of a slice say comes one after another; at the end of the event loop's turn it can go as one message. */
  private flushSoon(): void {
    if (this.flushing || this.link !== "up" || this.outbox.size === 0) return;
    this.flushing = true;
    this.effects.push({ kind: "flushSoon" });
  }

  /** Pauses training while more waits than may, so that memory stays bounded and nothing is thrown away. */
  private watchOutbox(): void {
    const { outbox, spoolBytes } = this.limits;
    const full = this.paused
      ? this.outbox.size > outbox / 2 || this.spooledBytes > spoolBytes / 2
      : this.outbox.size >= outbox || this.spooledBytes >= spoolBytes;
    if (full === this.paused) return;
    this.paused = full;
    const owed = this.outbox.size;
    if (full) this.log("warn", "training-paused", "training pauses: too much waits for the coordinator", { owed });
    else this.log("warn", "training-resumed", "training goes on", { owed });
    for (const { id } of this.identity.devices) this.command(id, { kind: "hold", held: full });
  }

  private finish(): void {
    if (this.outbox.size > 0) return;
    if (this.leaving) this.effects.push({ kind: "exit", code: this.leaving.code });
    else if (this.draining && this.attempts.size === 0) {
      this.log("info", "worker-drained", "drained: nothing held, everything acknowledged", {});
      this.effects.push({ kind: "exit", code: 0 });
    }
  }

  private send(message: LinkRequest): void {
    this.effects.push({ kind: "send", message });
  }

  private command(device: string, command: ThreadCommand): void {
    this.effects.push({ kind: "command", device, command });
  }

  private log(level: LogLevel, event: LogEvent, message: string, fields: LogFields): void {
    this.effects.push({ kind: "log", level, event, message, fields });
  }
}
