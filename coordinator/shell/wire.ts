/**
 * Messages of the Link to events of the core, and the core's messages to a worker to the Link.
 *
 * Guarantees: every field of every message from a worker is checked before it becomes an event (wire-fields.ts); what
 * the core says survives the way there unchanged. Pure. Not here: sequence numbers and acks (link-session.ts).
 */
import { type Incarnation, incarnation, LIMITS, type WorkerId, workerId } from "../../proto/contract.js";
import type { Device, DeviceUse as WireDeviceUse } from "../../proto/gen/convsweep/v1/types.js";
import type { Ended, Hello, LinkRequest, LinkResponse, Welcome } from "../../proto/gen/convsweep/v1/worker.js";
import { canonicalJson } from "../core/canonical.js";
import type { AttemptOutcome, Event, WorkerMessage } from "../core/events.js";
import type { DeviceUse, WorkerDevice } from "../core/types.js";
import type { StorePosition } from "../store/store.js";
import { isErrorCode } from "./errors.js";
import { attempt, bad, hash, held, metrics, name, prose, token, whole, within } from "./wire-fields.js";

export type WorkerEvent = Extract<Event, { readonly incarnation: Incarnation }>;
export type RequestBody = NonNullable<LinkRequest["body"]>;
/** A message as it is decided: alone. */
export type MessageBody = Exclude<RequestBody, { readonly $case: "batch" }>;
export type ResponseBody = NonNullable<LinkResponse["body"]>;

/** Who speaks on a Link, as its Hello said. */
export interface Speaker {
  readonly worker: WorkerId;
  readonly incarnation: Incarnation;
}

const WORKER_NAME = /^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$/;
const INCARNATION = /^[A-Za-z0-9_-]{8,64}$/;
const DEVICE = /^[a-z][a-z0-9_:.-]{0,63}$/;
const BACKEND = /^[a-z][a-z0-9_-]{0,31}$/;
const ARTIFACT = /^[a-z][a-z0-9-]{0,63}$/;
const MEDIA_TYPE = /^[a-z]{1,32}\/[a-z0-9][a-z0-9.+-]{0,63}$/;
const DEVICES_AT_MOST = 64;
const LANES_AT_MOST = 65_536;
const BYTES_AT_MOST = Number.MAX_SAFE_INTEGER;
const EPOCHS_AT_MOST = 0xffff_ffff;

/** `store`: what the Hello's knowledge of the store is compared with. */
export function helloEvent(hello: Hello, store: StorePosition): Extract<Event, { readonly kind: "WorkerHello" }> {
  whole("hello.devices.length", hello.devices.length, 1, DEVICES_AT_MOST);
  const devices = hello.devices.map((device, i) => deviceOf(`hello.devices[${i}]`, device));
  whole("hello.previous.length", hello.previous.length, 0, LIMITS.livesBefore);
  const ids = new Set(devices.map((device) => device.id));
  if (ids.size < devices.length) throw bad("hello.devices", "each device once", [...ids].join(", "));
  return {
    kind: "WorkerHello",
    worker: workerId(name("hello.worker", hello.worker, WORKER_NAME, "a name of letters, digits and . _ : @ + -")),
    incarnation: lifeOf("hello.incarnation", hello.incarnation),
    host: prose(hello.host, 255),
    pid: whole("hello.pid", hello.pid, 0, 0xffff_ffff),
    version: prose(hello.version, 64),
    devices,
    running: held("hello.running", hello.running),
    previous: hello.previous.map((life, i) => lifeOf(`hello.previous[${i}]`, life)),
    commitsAhead: commitsAhead(hello, store),
  };
}

function lifeOf(path: string, life: string): Incarnation {
  return incarnation(name(path, life, INCARNATION, "8 to 64 letters, digits, _ and -"));
}

/**
 * Of another store or an older generation nothing can be said: those commits were given up knowingly. What was heard of in
 * an earlier opening was there when the next began, or it was lost, whatever has its number now.
 */
function commitsAhead(hello: Hello, store: StorePosition): number {
  const seen = whole("hello.seen_commit", hello.seenCommit, 0);
  if (hello.seenStore !== store.uuid || hello.seenGeneration !== store.generation) return 0;
  if (hello.seenOpening === "") return Math.max(0, seen - store.commit);
  const at = store.openings.findIndex(({ id }) => id === hello.seenOpening);
  // The opening itself is lost, or so long ago that nobody knows.
  if (at < 0) return Math.max(1, seen - (store.openings.at(-1)?.commit ?? 0));
  return Math.max(0, seen - (store.openings[at + 1]?.commit ?? store.commit));
}

function deviceOf(path: string, device: Device): WorkerDevice {
  return {
    id: name(`${path}.id`, device.id, DEVICE, "a device such as cpu or cuda:0"),
    name: prose(device.name, 256),
    backend: name(`${path}.backend`, device.backend, BACKEND, "a backend such as cpu or cuda"),
    fingerprint: prose(device.fingerprint, 512),
    memoryBytes: whole(`${path}.memory_bytes`, device.memoryBytes, 0),
    lanes: whole(`${path}.lanes`, device.lanes, 1, LANES_AT_MOST),
  };
}

/** For people alone: a number that cannot be is left out, as a worker would send it for ever. */
function usesOf(list: readonly WireDeviceUse[]): Readonly<Record<string, DeviceUse>> {
  whole("heartbeat.use.length", list.length, 0, DEVICES_AT_MOST);
  const entries = list.map(({ device, utilization, memoryUsed, memoryTotal, temperature, power }, i) => [
    name(`heartbeat.use[${i}].device`, device, DEVICE, "a device such as cuda:0"),
    {
      ...within("utilization", utilization, 0, 1),
      ...within("memoryUsed", memoryUsed, 0, BYTES_AT_MOST),
      ...within("memoryTotal", memoryTotal, 0, BYTES_AT_MOST),
      ...within("temperature", temperature, -273.15, 1_000),
      ...within("power", power, 0, 100_000),
    },
  ]);
  return Object.fromEntries(entries) as Readonly<Record<string, DeviceUse>>;
}

const NO_NAMES: ReadonlySet<string> = new Set();

/** Any message but Hello, which comes once and first. `names` of metrics have been found right before. */
export function workerEvent(speaker: Speaker, body: MessageBody, names: ReadonlySet<string> = NO_NAMES): WorkerEvent {
  const { worker, incarnation } = speaker;
  switch (body.$case) {
    case "hello":
      throw bad("body", "Hello only as the first message of a Link", "hello");
    case "heartbeat":
      return {
        kind: "Heartbeat",
        worker,
        incarnation,
        running: held("heartbeat.running", body.value.running),
        ...(body.value.use.length === 0 ? {} : { use: usesOf(body.value.use) }),
      };
    case "started":
      return {
        kind: "AttemptStarted",
        worker,
        incarnation,
        attempt: attempt("started.attempt", body.value.attempt),
        token: token("started.token", body.value.token),
        fingerprint: prose(body.value.fingerprint, 512),
        fromEpoch: whole("started.from_epoch", body.value.fromEpoch, 0, EPOCHS_AT_MOST),
      };
    case "checkpointSaved":
      return {
        kind: "CheckpointSaved",
        worker,
        incarnation,
        attempt: attempt("checkpoint_saved.attempt", body.value.attempt),
        token: token("checkpoint_saved.token", body.value.token),
        epoch: whole("checkpoint_saved.epoch", body.value.epoch, 1, EPOCHS_AT_MOST),
        digest: hash("checkpoint_saved.digest", body.value.digest),
        bytes: whole("checkpoint_saved.bytes", body.value.bytes, 1, LIMITS.checkpointBytes),
      };
    case "artifactSaved":
      return {
        kind: "ArtifactSaved",
        worker,
        incarnation,
        attempt: attempt("artifact_saved.attempt", body.value.attempt),
        token: token("artifact_saved.token", body.value.token),
        name: name("artifact_saved.name", body.value.name, ARTIFACT, "a name such as samples"),
        mediaType: name("artifact_saved.media_type", body.value.mediaType, MEDIA_TYPE, "a type such as image/png"),
        epoch: whole("artifact_saved.epoch", body.value.epoch, 0, EPOCHS_AT_MOST),
        digest: hash("artifact_saved.digest", body.value.digest),
        bytes: whole("artifact_saved.bytes", body.value.bytes, 1, LIMITS.artifactBytes),
      };
    case "report":
      return {
        kind: "Reported",
        worker,
        incarnation,
        attempt: attempt("report.attempt", body.value.attempt),
        token: token("report.token", body.value.token),
        epoch: whole("report.epoch", body.value.epoch, 1, EPOCHS_AT_MOST),
        step: whole("report.step", body.value.step, 0),
        metrics: metrics("report.metrics", body.value.metrics, names),
      };
    case "ended":
      return {
        kind: "AttemptEnded",
        worker,
        incarnation,
        attempt: attempt("ended.attempt", body.value.attempt),
        token: token("ended.token", body.value.token),
        outcome: outcomeOf(body.value.outcome),
      };
    case "draining":
      return { kind: "WorkerDraining", worker, incarnation };
  }
}

function outcomeOf(outcome: Ended["outcome"]): AttemptOutcome {
  if (outcome === undefined) throw bad("ended.outcome", "an outcome", "nothing");
  switch (outcome.$case) {
    case "completed":
      return { kind: "completed", weightsHash: hash("ended.completed.weights_hash", outcome.value.weightsHash) };
    case "stopped": {
      const text = outcome.value.weightsHash;
      return { kind: "stopped", weightsHash: text === "" ? null : hash("ended.stopped.weights_hash", text) };
    }
    case "diverged":
      return {
        kind: "diverged",
        epoch: whole("ended.diverged.epoch", outcome.value.epoch, 0, EPOCHS_AT_MOST),
        step: whole("ended.diverged.step", outcome.value.step, 0),
        what: prose(outcome.value.what, 64),
      };
    case "failed": {
      const { code, message, path, expected, found } = outcome.value;
      const known = isErrorCode(code);
      return {
        kind: "failed",
        error: {
          // A newer worker may know codes that this coordinator does not; the trial failed all the same.
          code: known ? code : "INTERNAL",
          message: prose(known ? message : `${code}: ${message}`),
          path: path === "" ? null : prose(path, 512),
          expected: expected === "" ? null : prose(expected, 1_024),
          found: found === "" ? null : prose(found, 1_024),
        },
      };
    }
    case "released":
      return { kind: "released", reason: prose(outcome.value.reason), ...(outcome.value.died ? { died: true } : {}) };
  }
}

/** What a Welcome says beside the core's part. */
export type WelcomeFrame = Pick<
  Welcome,
  | "store"
  | "heartbeatMillis"
  | "leaseMillis"
  | "received"
  | "generation"
  | "commit"
  | "opening"
  | "lost"
  | "protocolMinor"
>;

export function responseBody(message: WorkerMessage, welcome: () => WelcomeFrame): ResponseBody {
  switch (message.kind) {
    case "Welcome":
      return { $case: "welcome", value: welcomeOf(welcome(), message) };
    case "Assign":
      return {
        $case: "assign",
        value: {
          attempt: message.attempt,
          token: message.token,
          device: message.device,
          recipe: canonicalJson(message.recipe),
          cohortKey: message.cohortKey,
          seed: message.seed,
          parameters: canonicalJson(message.parameters),
          alone: message.alone,
          checkpoints: [...message.checkpoints],
        },
      };
    case "Stop":
      return { $case: "stop", value: { attempt: message.attempt, token: message.token, save: message.save } };
    case "Revoke":
      return { $case: "revoke", value: { attempt: message.attempt, token: message.token } };
    case "Drain":
      return { $case: "drain", value: {} };
  }
}

function welcomeOf(frame: WelcomeFrame, { keep, drop }: Extract<WorkerMessage, { readonly kind: "Welcome" }>): Welcome {
  return {
    store: frame.store,
    heartbeatMillis: frame.heartbeatMillis,
    leaseMillis: frame.leaseMillis,
    received: frame.received,
    generation: frame.generation,
    commit: frame.commit,
    opening: frame.opening,
    lost: frame.lost,
    protocolMinor: frame.protocolMinor,
    keep: [...keep],
    drop: [...drop],
  };
}
