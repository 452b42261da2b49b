/**
 * One Link: the sequence numbers, acks and bounds of one stream of one worker.
 *
 * Guarantees: the first message is a Hello of this protocol, or the stream ends with a status that says why. Numbered
 * messages are decided in order, each once, whether they come alone or in a batch; a number left out ends the stream. An
 * ack says that the commit which holds the message has returned. A message that is wrong in any field ends this stream with INVALID_ARGUMENT naming the
 * field, and nothing else. Messages to the worker are numbered from 1 on each Link and not kept for the next one:
 * Hello tells what the worker has, the core answers with what it lacks. A worker that does not read, or says nothing for
 * a lease, is let go; one that says too much is read more slowly, and nobody else is.
 *
 * Not here: who may connect (authorize.ts), what messages mean (core), which Link counts (links.ts).
 */
import {
  ConvsweepError,
  LIMITS,
  type Millis,
  millis,
  PROTOCOL,
  TIMES,
  toConvsweepError,
} from "../../proto/contract.js";
import type { Hello, LinkRequest, LinkResponse } from "../../proto/gen/convsweep/v1/worker.js";
import type { Event, WorkerMessage } from "../core/events.js";
import type { StorePosition } from "../store/store.js";
import type { Clock } from "./clock.js";
import type { Link, Links, Progress } from "./links.js";
import type { Log } from "./log.js";
import type { Origin, Runtime } from "./runtime.js";
import { helloEvent, type MessageBody, responseBody, type Speaker, type WelcomeFrame, workerEvent } from "./wire.js";
import { bad, whole } from "./wire-fields.js";

/** The stream as the session sees it, so that it can be any. */
export interface LinkStream {
  write(message: LinkResponse): void;
  /** Bytes written that the socket has not taken, roughly. */
  backlog(): number;
  /** Ends it with a status; `null` for a plain end. */
  end(error: ConvsweepError | null): void;
  pause(): void;
  resume(): void;
}

export interface SessionParts {
  readonly runtime: Runtime;
  readonly links: Links;
  readonly clock: Clock;
  readonly log: Log;
  /** Where the store stands now. */
  readonly store: () => StorePosition;
}

const HELLO_MILLIS = 10_000;
/** Bytes that a worker may leave unread: more than the trials of any worker's lanes, so beyond it it has stopped reading. */
const BACKLOG_AT_MOST = 8 << 20;
/** A worker that says nothing for a lease has lost it; it is to connect again. */
const SILENT_MILLIS = TIMES.lease;
/** Messages a second, and at once; a fast worker of many lanes sends some thousands. More are read later. */
const RATE = { aSecond: 5_000, atOnce: 10_000 } as const;
/** Events waiting in the runtime above which Links are not read. */
const BUSY = 16_384;

export class LinkSession implements Link {
  readonly #stream: LinkStream;
  readonly #parts: SessionParts;
  readonly #peer: string;
  readonly #cancelHelloTimer: () => void;
  #speaker: Speaker | null = null;
  #progress: Progress | null = null;
  #welcomed = false;
  /** The core's messages before its Welcome. */
  #early: WorkerMessage[] = [];
  #sent = 0;
  #acked = 0;
  /** What the worker was told is durable. */
  #told = 0;
  /** Commits that the worker has heard of and the store does not have. */
  #lost = 0;
  #ended = false;
  /** The core refused one of its messages: none that follows may be acknowledged. */
  #broken = false;
  /** When it last said anything; not judged while we do not listen. */
  #heard: Millis;
  #deaf = 0;
  #cancelSilence: () => void;
  /** Messages it may send now, and since when that is so. */
  #allowance: number = RATE.atOnce;
  #allowedAt: Millis;

  /** `parts` are of all sessions; `peer` is where the worker speaks from, for the log. */
  constructor(stream: LinkStream, parts: SessionParts, peer: string) {
    this.#stream = stream;
    this.#parts = parts;
    this.#peer = peer;
    this.#heard = parts.clock.now();
    this.#allowedAt = parts.clock.now();
    this.#cancelSilence = this.#watchSilence();
    this.#cancelHelloTimer = parts.clock.schedule(millis(parts.clock.now() + HELLO_MILLIS), () =>
      this.end(new ConvsweepError("TIMEOUT", `no Hello came within ${HELLO_MILLIS / 1000} s`)),
    );
  }

  /** One message from the worker. Never throws. */
  receive(request: LinkRequest): void {
    if (this.#ended) return;
    this.#heard = this.#parts.clock.now();
    this.#spend();
    try {
      if (this.#speaker === null || this.#progress === null) this.#hello(request);
      else this.#message(request, this.#speaker, this.#progress);
    } catch (thrown) {
      const error = toConvsweepError(thrown);
      this.#parts.log("warn", "link-ended", `a Link was ended: ${error.message}`, {
        worker: this.#speaker?.worker,
        peer: this.#peer,
      });
      this.end(error);
    }
  }

  /** The other side is gone, or closed its half. */
  lost(): void {
    this.#finish(null);
  }

  send(message: WorkerMessage): void {
    if (this.#ended || this.#progress === null) return;
    if (message.kind === "Welcome") {
      this.#welcomed = true;
      this.#write(0, message);
      const early = this.#early;
      this.#early = [];
      for (const one of early) this.send(one);
      return;
    }
    if (!this.#welcomed) {
      this.#early.push(message);
      return;
    }
    if (this.#stream.backlog() > BACKLOG_AT_MOST) {
      this.end(new ConvsweepError("TOO_LARGE", `the worker has left ${BACKLOG_AT_MOST} bytes unread`));
      return;
    }
    this.#sent += 1;
    this.#write(this.#sent, message);
  }

  acknowledge(): void {
    if (this.#ended || !this.#welcomed || this.#progress === null || this.#progress.durable === this.#told) return;
    this.#told = this.#progress.durable;
    this.#stream.write({ seq: 0, ack: this.#told, body: undefined, commit: this.#parts.store().commit });
  }

  end(error: ConvsweepError): void {
    this.#finish(error);
  }

  #hello(request: LinkRequest): void {
    if (request.body?.$case !== "hello") {
      throw new ConvsweepError("BAD_INPUT", "body: a Link begins with Hello", {
        path: "body",
        expected: "hello",
        found: request.body?.$case ?? "nothing",
      });
    }
    whole("seq", request.seq, 0, 0);
    checkProtocol(request.body.value);
    const event = helloEvent(request.body.value, this.#parts.store());
    this.#lost = event.commitsAhead ?? 0;
    this.#progress = this.#parts.links.open(event.worker, event.incarnation, this, event.previous);
    this.#speaker = { worker: event.worker, incarnation: event.incarnation };
    this.#cancelHelloTimer();
    this.#parts.log("debug", "link-hello", "a worker said hello", { worker: event.worker, peer: this.#peer });
    this.#push(event, this.#originOf(this.#progress, null));
  }

  #message(request: LinkRequest, speaker: Speaker, progress: Progress): void {
    this.#acked = whole("ack", request.ack, this.#acked, this.#sent);
    const body = request.body;
    if (body === undefined) {
      whole("seq", request.seq, 0, 0);
      return;
    }
    if (body.$case === "heartbeat") {
      whole("seq", request.seq, 0, 0);
      this.#push(workerEvent(speaker, body), this.#originOf(progress, null));
      return;
    }
    const seq = whole("seq", request.seq, 1);
    if (body.$case !== "batch") return this.#numbered(seq, body, speaker, progress);
    const { messages } = body.value;
    whole("batch.messages.length", messages.length, 1, LIMITS.linkWindow);
    for (const [i, message] of messages.entries()) {
      // One before it was refused: nothing that follows was received.
      if (this.#ended) return;
      // The first is paid for by the batch itself.
      if (i > 0) this.#spend();
      if (message.body === undefined) throw bad(`batch.messages[${i}].body`, "a message", "nothing");
      this.#numbered(seq + i, message.body, speaker, progress);
    }
  }

  #numbered(seq: number, body: MessageBody, speaker: Speaker, progress: Progress): void {
    // A repeat. This Link has said, or will say after the commit, that it is durable.
    if (seq <= progress.received) return;
    if (progress.received === 0) {
      // The first of a life that this coordinator does not know: what came before was acknowledged by an earlier one.
      progress.received = seq - 1;
      progress.durable = seq - 1;
      this.#told = seq - 1;
    }
    if (seq !== progress.received + 1) {
      throw new ConvsweepError("BAD_INPUT", `seq: message ${progress.received + 1} is missing`, {
        path: "seq",
        expected: String(progress.received + 1),
        found: String(seq),
      });
    }
    if (seq > this.#told + LIMITS.linkWindow) {
      throw new ConvsweepError("TOO_LARGE", `the worker is more than ${LIMITS.linkWindow} messages ahead of its acks`);
    }
    const event = workerEvent(speaker, body, progress.names);
    if (event.kind === "Reported") checkNames(progress.names, event.metrics);
    progress.received = seq;
    this.#push(event, this.#originOf(progress, seq));
  }

  #push(event: Event, origin: Origin): void {
    const { runtime } = this.#parts;
    runtime.push(event, origin);
    if (runtime.waiting > BUSY) {
      this.#stopListening();
      runtime.whenQuiet(() => this.#listenAgain());
    }
  }

  /** One message from its allowance; with none left it is not read until there is some again. */
  #spend(): void {
    const { clock } = this.#parts;
    const now = clock.now();
    const gained = ((now - this.#allowedAt) / 1_000) * RATE.aSecond;
    this.#allowance = Math.min(RATE.atOnce, this.#allowance + gained) - 1;
    this.#allowedAt = now;
    if (this.#allowance >= 0 || this.#deaf > 0) return;
    this.#stopListening();
    clock.schedule(millis(now + 100), () => this.#listenAgain());
  }

  #stopListening(): void {
    this.#deaf += 1;
    this.#stream.pause();
  }

  #listenAgain(): void {
    this.#deaf -= 1;
    this.#heard = this.#parts.clock.now();
    if (this.#deaf === 0 && !this.#ended) this.#stream.resume();
  }

  #watchSilence(): () => void {
    const { clock } = this.#parts;
    const due = millis(clock.now() + SILENT_MILLIS);
    return clock.schedule(due, () => {
      if (this.#ended) return;
      // Much too late: this process stood still, and what was said meanwhile is still to be read.
      const stood = clock.now() - due > 1_000;
      const silent = clock.now() - this.#heard >= SILENT_MILLIS;
      if (silent && !stood && this.#deaf === 0 && this.#speaker !== null) {
        this.end(new ConvsweepError("TIMEOUT", `nothing came for ${SILENT_MILLIS / 1000} s`));
      } else this.#cancelSilence = this.#watchSilence();
    });
  }

  #originOf(progress: Progress, seq: number | null): Origin {
    return new Numbered(this, progress, seq);
  }

  /** The core has refused one of its messages. */
  get broken(): boolean {
    return this.#broken;
  }

  /** Message `seq` is durable. */
  madeDurable(progress: Progress, seq: number): void {
    progress.durable = seq;
    // A message refused later in the same turn took `received` back to before this one.
    progress.received = Math.max(progress.received, seq);
    this.#parts.links.owes(this);
  }

  refused(progress: Progress, error: ConvsweepError): void {
    this.#broken = true;
    // What waits behind it is skipped; the worker sends it again on its next Link.
    progress.received = progress.durable;
    this.end(error);
  }

  #write(seq: number, message: WorkerMessage): void {
    const ack = this.#progress?.durable ?? 0;
    this.#told = ack;
    const { commit } = this.#parts.store();
    this.#stream.write({ seq, ack, body: responseBody(message, () => this.#frame()), commit });
  }

  #frame(): WelcomeFrame {
    const { uuid, generation, commit, openings } = this.#parts.store();
    return {
      store: uuid,
      generation,
      commit,
      opening: openings.at(-1)?.id ?? "",
      lost: this.#lost,
      heartbeatMillis: TIMES.heartbeat,
      leaseMillis: TIMES.lease,
      received: this.#progress?.durable ?? 0,
      protocolMinor: PROTOCOL.minor,
    };
  }

  #finish(error: ConvsweepError | null): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelHelloTimer();
    this.#cancelSilence();
    if (this.#speaker && this.#parts.links.close(this.#speaker.incarnation, this)) {
      this.#parts.runtime.push({ kind: "WorkerLinkLost", ...this.#speaker });
    }
    this.#stream.end(error);
  }
}

/** Where an event came from: one for each message, so it is no bigger than it must be. */
class Numbered implements Origin {
  readonly #session: LinkSession;
  readonly #progress: Progress;
  readonly #seq: number | null;

  constructor(session: LinkSession, progress: Progress, seq: number | null) {
    this.#session = session;
    this.#progress = progress;
    this.#seq = seq;
  }

  skip(): boolean {
    return this.#session.broken;
  }

  committed(): void {
    if (this.#seq !== null) this.#session.madeDurable(this.#progress, this.#seq);
  }

  failed(error: ConvsweepError): void {
    this.#session.refused(this.#progress, error);
  }
}

function checkProtocol(hello: Hello): void {
  if (hello.protocolMajor === PROTOCOL.major) return;
  throw new ConvsweepError(
    "PROTOCOL",
    `the worker speaks protocol ${hello.protocolMajor}, this coordinator ${PROTOCOL.major}: ` +
      "install the same version of convsweep on both",
    { path: "hello.protocol_major", expected: String(PROTOCOL.major), found: String(hello.protocolMajor) },
  );
}

/** Every name is kept for ever, so a worker cannot make up new ones without end. */
function checkNames(known: Set<string>, metrics: Readonly<Record<string, unknown>>): void {
  for (const name in metrics) known.add(name);
  if (known.size > LIMITS.metricNames) {
    throw bad("report.metrics", `at most ${LIMITS.metricNames} different names of metrics from one worker`, known.size);
  }
}
