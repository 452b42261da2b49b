import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AttemptOutcome, WorkerMessage } from "../../coordinator/core/events.js";
import type { Json, MetricValue } from "../../coordinator/core/types.js";
import { isErrorCode } from "../../coordinator/shell/errors.js";
import {
  helloEvent,
  type MessageBody,
  responseBody,
  type WorkerEvent,
  workerEvent,
} from "../../coordinator/shell/wire.js";
import {
  type AttemptId,
  attemptId,
  ConvsweepError,
  type ErrorCode,
  type ErrorData,
  incarnation,
  LIMITS,
  sweepId,
  type Token,
  token,
  trialId,
  workerId,
} from "../../proto/contract.js";
import type { ErrorDetail, Metric } from "../../proto/gen/convsweep/v1/types.js";
import { type Ended, LinkRequest, LinkResponse } from "../../proto/gen/convsweep/v1/worker.js";
import { HELLO } from "./scripted-worker.js";

const who = { worker: workerId("w-1"), incarnation: incarnation("incarnation-1") };

const anAttempt: fc.Arbitrary<AttemptId> = fc
  .tuple(fc.integer({ min: 1, max: 1e9 }), fc.integer({ min: 0, max: 1e6 }), fc.integer({ min: 1, max: 99 }))
  .map(([sweep, number, n]) => attemptId(trialId(sweepId(sweep), number), n));
const aToken: fc.Arbitrary<Token> = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }).map(token);
const heldAttempts = fc.array(fc.record({ attempt: anAttempt, token: aToken }), { maxLength: 20 });
const metricValue: fc.Arbitrary<MetricValue> = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom<MetricValue>("nan", "inf", "-inf", -0, Number.MIN_VALUE, Number.MAX_VALUE),
);
const metricName = fc.stringMatching(/^[a-z][a-z_./0-9]{0,30}$/);
const aHash = fc.stringMatching(/^[0-9a-f]{64}$/);
const CODES = [
  "ENGINE_OUT_OF_MEMORY",
  "ENGINE_BAD_RECIPE",
  "INTERNAL",
  "BAD_INPUT",
] as const satisfies readonly ErrorCode[];
/** No control characters: those are taken out on purpose. */
const text = fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 60 });
const maybe = fc.option(text, { nil: null });

const errorData: fc.Arbitrary<ErrorData> = fc.record({
  code: fc.constantFrom(...CODES),
  message: text,
  path: maybe,
  expected: maybe,
  found: maybe,
});

const epochs = fc.integer({ min: 0, max: 0xffff_ffff });
const steps = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
const outcome: fc.Arbitrary<AttemptOutcome> = fc.oneof(
  fc.record({ kind: fc.constant("completed" as const), weightsHash: aHash }),
  fc.record({ kind: fc.constant("stopped" as const), weightsHash: fc.option(aHash, { nil: null }) }),
  fc.record({
    kind: fc.constant("diverged" as const),
    epoch: epochs,
    step: steps,
    what: fc.constantFrom("loss", "weights"),
  }),
  fc.record({ kind: fc.constant("failed" as const), error: errorData }),
  fc.record({ kind: fc.constant("released" as const), reason: text }),
  fc.record({ kind: fc.constant("released" as const), reason: text, died: fc.constant(true) }),
);

/** As many of the numbers as a device can say. */
const uses = fc.dictionary(
  fc.constantFrom("cpu", "cuda:0", "cuda:1", "constructor"),
  fc.record(
    {
      utilization: fc.double({ min: 0, max: 1, noNaN: true }),
      memoryUsed: fc.nat(Number.MAX_SAFE_INTEGER),
      memoryTotal: fc.nat(Number.MAX_SAFE_INTEGER),
      temperature: fc.double({ min: -40, max: 150, noNaN: true }),
      power: fc.double({ min: 0, max: 2_000, noNaN: true }),
    },
    { requiredKeys: [], noNullPrototype: true },
  ),
  { minKeys: 1, noNullPrototype: true },
);

const workerEvents: fc.Arbitrary<WorkerEvent> = fc
  .oneof(
    fc.record({ kind: fc.constant("Heartbeat" as const), running: heldAttempts }),
    fc.record({ kind: fc.constant("Heartbeat" as const), running: heldAttempts, use: uses }),
    fc.constant({ kind: "WorkerDraining" as const }),
    fc.record({
      kind: fc.constant("AttemptStarted" as const),
      attempt: anAttempt,
      token: aToken,
      fingerprint: text,
      fromEpoch: epochs,
    }),
    fc.record({
      kind: fc.constant("CheckpointSaved" as const),
      attempt: anAttempt,
      token: aToken,
      epoch: fc.integer({ min: 1, max: 0xffff_ffff }),
      digest: aHash,
      bytes: fc.integer({ min: 1, max: LIMITS.checkpointBytes }),
    }),
    fc.record({
      kind: fc.constant("ArtifactSaved" as const),
      attempt: anAttempt,
      token: aToken,
      name: fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/),
      mediaType: fc.constantFrom("image/png", "image/apng", "application/json"),
      epoch: epochs,
      digest: aHash,
      bytes: fc.integer({ min: 1, max: LIMITS.artifactBytes }),
    }),
    fc.record({
      kind: fc.constant("Reported" as const),
      attempt: anAttempt,
      token: aToken,
      epoch: fc.integer({ min: 1, max: 0xffff_ffff }),
      step: steps,
      metrics: fc.dictionary(metricName, metricValue, { minKeys: 1, maxKeys: 12, noNullPrototype: true }),
    }),
    fc.record({ kind: fc.constant("AttemptEnded" as const), attempt: anAttempt, token: aToken, outcome }),
  )
  .map((event) => ({ ...event, ...who }) as WorkerEvent);

/** Where the store stands, and a worker that has heard of four commits more. */
const OPENINGS = [
  { id: "first", commit: 0, tokens: 0 },
  { id: "second", commit: 5, tokens: 0 },
  { id: "third", commit: 8, tokens: 0 },
];
const STORE = { uuid: "store", generation: 2, commit: 9, openings: OPENINGS };
const SEEN = { seenStore: "store", seenGeneration: 2, seenCommit: 13, seenOpening: "third" };

/** What a worker would write for the event: the other direction, by hand. */
function bodyOf(event: WorkerEvent): MessageBody {
  switch (event.kind) {
    case "Heartbeat":
      return {
        $case: "heartbeat",
        value: {
          running: [...event.running],
          use: Object.entries(event.use ?? {}).map(([device, numbers]) => ({ device, ...numbers })),
        },
      };
    case "WorkerDraining":
      return { $case: "draining", value: {} };
    case "AttemptStarted": {
      const { attempt, token: fence, fingerprint, fromEpoch } = event;
      return { $case: "started", value: { attempt, token: fence, fingerprint, fromEpoch } };
    }
    case "CheckpointSaved": {
      const { attempt, token: fence, epoch, digest, bytes } = event;
      return { $case: "checkpointSaved", value: { attempt, token: fence, epoch, digest, bytes } };
    }
    case "ArtifactSaved": {
      const { attempt, token: fence, name, mediaType, epoch, digest, bytes } = event;
      return { $case: "artifactSaved", value: { attempt, token: fence, name, mediaType, epoch, digest, bytes } };
    }
    case "Reported": {
      const { attempt, token: fence, epoch, step, metrics } = event;
      const list = Object.entries(metrics).map(
        ([name, value]): Metric => ({
          name,
          value: typeof value === "number" ? { $case: "number", value } : { $case: "notFinite", value },
        }),
      );
      return { $case: "report", value: { attempt, token: fence, epoch, step, metrics: list } };
    }
    case "AttemptEnded":
      return {
        $case: "ended",
        value: { attempt: event.attempt, token: event.token, outcome: wireOutcome(event.outcome) },
      };
    default:
      throw new Error(event.kind);
  }
}

function wireOutcome(ended: AttemptOutcome): NonNullable<Ended["outcome"]> {
  switch (ended.kind) {
    case "completed":
      return { $case: "completed", value: { weightsHash: ended.weightsHash } };
    case "stopped":
      return { $case: "stopped", value: { weightsHash: ended.weightsHash ?? "" } };
    case "diverged":
      return { $case: "diverged", value: { epoch: ended.epoch, step: ended.step, what: ended.what } };
    case "failed": {
      const { code, message, path, expected, found } = ended.error;
      return {
        $case: "failed",
        value: { code, message, path: path ?? "", expected: expected ?? "", found: found ?? "" },
      };
    }
    case "released":
      return { $case: "released", value: { reason: ended.reason, died: ended.died ?? false } };
  }
}

const overTheWire = (body: MessageBody): MessageBody => {
  const decoded = LinkRequest.decode(LinkRequest.encode({ seq: 3, ack: 1, body }).finish());
  if (!decoded.body || decoded.body.$case === "batch") throw new Error("no body");
  return decoded.body;
};

describe("messages of a worker", () => {
  it("come out of their bytes as they went in, NaN, infinities and -0 included", () => {
    fc.assert(
      fc.property(workerEvents, (event) => void expect(workerEvent(who, overTheWire(bodyOf(event)))).toEqual(event)),
    );
  });

  it("give a hello back", () => {
    const device = fc.record({
      id: fc.constantFrom("cpu", "cuda:0", "cuda:1"),
      name: text,
      backend: fc.constantFrom("cpu", "cuda"),
      fingerprint: text,
      memoryBytes: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
      lanes: fc.integer({ min: 1, max: 65_536 }),
    });
    const hello = fc.record({
      worker: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,100}$/),
      incarnation: fc.uuid(),
      host: text,
      pid: fc.integer({ min: 0, max: 0xffff_ffff }),
      version: text.map((value) => value.slice(0, 64)),
      devices: fc.uniqueArray(device, { minLength: 1, maxLength: 3, selector: (one) => one.id }),
      running: heldAttempts,
      previous: fc.array(fc.uuid(), { maxLength: LIMITS.livesBefore }),
    });
    fc.assert(
      fc.property(hello, (value) => {
        const body = overTheWire({
          $case: "hello",
          value: { protocolMajor: 1, protocolMinor: 0, ...SEEN, ...value },
        });
        if (body.$case !== "hello") throw new Error(body.$case);
        expect(helloEvent(body.value, STORE)).toEqual({ kind: "WorkerHello", ...value, commitsAhead: 4 });
      }),
    );
  });

  it.each([
    // Heard of in this opening: the store has 9.
    ["third", 9, 0],
    ["third", 13, 4],
    // In the one before, of which 8 were left when this one began; 9 is another commit.
    ["second", 8, 0],
    ["second", 9, 1],
    ["first", 5, 0],
    ["first", 6, 1],
    // Of an opening that is lost as well.
    ["unknown", 3, 1],
    ["unknown", 11, 3],
    // From a worker that says nothing of openings: their numbers alone.
    ["", 9, 0],
    ["", 10, 1],
  ])("a hello of a worker that heard of opening '%s', commit %i: %i are lost", (seenOpening, seenCommit, lost) => {
    const value = { ...HELLO, seenStore: "store", seenGeneration: 2, seenCommit, seenOpening };
    expect(helloEvent(value, STORE).commitsAhead).toBe(lost);
    expect(helloEvent({ ...value, seenGeneration: 1 }, STORE).commitsAhead).toBe(0);
    expect(helloEvent({ ...value, seenStore: "another" }, STORE).commitsAhead).toBe(0);
  });

  it("throw nothing but BAD_INPUT with a path, whatever they hold", () => {
    const anything = fc.record({
      attempt: fc.string(),
      token: fc.double(),
      epoch: fc.double(),
      step: fc.double(),
      metrics: fc.array(
        fc.record({
          name: fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "a")),
          value: fc.option(
            fc.oneof(
              fc.record({ $case: fc.constant("number" as const), value: fc.double() }),
              fc.record({ $case: fc.constant("notFinite" as const), value: fc.string() }),
            ),
            { nil: undefined },
          ),
        }),
      ),
    });
    fc.assert(
      fc.property(anything, (value) => {
        try {
          workerEvent(who, { $case: "report", value });
        } catch (error) {
          if (!(error instanceof ConvsweepError)) throw error;
          expect(error.code).toBe("BAD_INPUT");
          expect(error.path).toMatch(/^report\./);
        }
      }),
    );
    expect(Object.hasOwn(Object.prototype, "a")).toBe(false);
  });

  it("leave out what a device cannot be, and keep the rest of the heartbeat", () => {
    const wrong = {
      device: "cuda:0",
      utilization: 1.5,
      memoryUsed: -1,
      memoryTotal: 7,
      temperature: Number.NaN,
      power: Number.POSITIVE_INFINITY,
    };
    const event = workerEvent(who, { $case: "heartbeat", value: { running: [], use: [wrong] } });
    expect(event).toMatchObject({ kind: "Heartbeat", use: { "cuda:0": { memoryTotal: 7 } } });
    const many = Array.from({ length: 65 }, (_, i) => ({ device: `cuda:${i}` }));
    expect(() => workerEvent(who, { $case: "heartbeat", value: { running: [], use: many } })).toThrow(
      "heartbeat.use.length",
    );
    expect(() => workerEvent(who, { $case: "heartbeat", value: { running: [], use: [{ device: "?" }] } })).toThrow(
      "heartbeat.use[0].device",
    );
  });

  it("keep the failure of a newer worker whose code is not known here", () => {
    const detail: ErrorDetail = { code: "ENGINE_NEW", message: "odd", path: "", expected: "", found: "" };
    const body: MessageBody = {
      $case: "ended",
      value: { attempt: "1/0#1", token: 1, outcome: { $case: "failed", value: detail } },
    };
    expect(isErrorCode("ENGINE_NEW")).toBe(false);
    expect(workerEvent(who, body)).toMatchObject({
      outcome: { error: { code: "INTERNAL", message: "ENGINE_NEW: odd" } },
    });
  });

  it("cannot reach a terminal through a text", () => {
    const body: MessageBody = {
      $case: "ended",
      value: {
        attempt: "1/0#1",
        token: 1,
        outcome: { $case: "released", value: { reason: `\u001b[2J${"x".repeat(9_000)}`, died: false } },
      },
    };
    const event = workerEvent(who, body);
    if (event.kind !== "AttemptEnded" || event.outcome.kind !== "released") throw new Error(event.kind);
    expect(event.outcome.reason).toHaveLength(4_096);
    expect(event.outcome.reason.startsWith(" [2J")).toBe(true);
  });
});

describe("messages to a worker", () => {
  const json: fc.Arbitrary<Json> = fc
    .jsonValue({ maxDepth: 3 })
    .map((value) => JSON.parse(JSON.stringify(value)) as Json);
  const parameters = fc.dictionary(
    metricName,
    fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), text, fc.boolean()),
    {
      noNullPrototype: true,
    },
  );
  const messages: fc.Arbitrary<WorkerMessage> = fc.oneof(
    fc.record({ kind: fc.constant("Welcome" as const), keep: heldAttempts, drop: heldAttempts }),
    fc.record({
      kind: fc.constant("Assign" as const),
      attempt: anAttempt,
      token: aToken,
      device: fc.constantFrom("cpu", "cuda:3"),
      recipe: json,
      cohortKey: text,
      seed: fc.stringMatching(/^[0-9a-f]{16}$/),
      parameters,
      alone: fc.boolean(),
      checkpoints: fc.array(fc.record({ epoch: epochs, digest: aHash, bytes: steps }), { maxLength: 2 }),
    }),
    fc.record({ kind: fc.constant("Stop" as const), attempt: anAttempt, token: aToken, save: fc.boolean() }),
    fc.record({ kind: fc.constant("Revoke" as const), attempt: anAttempt, token: aToken }),
    fc.constant({ kind: "Drain" as const }),
  );
  const frame = {
    ...{ store: "store", heartbeatMillis: 2_000, leaseMillis: 9_000, received: 17 },
    ...{ generation: 2, commit: 9, opening: "third", lost: 0, protocolMinor: 1 },
  };

  it("arrive as the core said them", () => {
    fc.assert(
      fc.property(messages, (message) => {
        const bytes = LinkResponse.encode({
          seq: 1,
          ack: 2,
          body: responseBody(message, () => frame),
          commit: 9,
        }).finish();
        expect(messageOf(LinkResponse.decode(bytes))).toEqual(normal(message));
      }),
    );
  });

  function messageOf({ body }: LinkResponse): unknown {
    switch (body?.$case) {
      case "welcome":
        expect(body.value).toMatchObject(frame);
        return { kind: "Welcome", keep: body.value.keep, drop: body.value.drop };
      case "assign":
        return {
          kind: "Assign",
          ...body.value,
          recipe: JSON.parse(body.value.recipe),
          parameters: JSON.parse(body.value.parameters),
        };
      case "stop":
        return { kind: "Stop", ...body.value };
      case "revoke":
        return { kind: "Revoke", ...body.value };
      case "drain":
        return { kind: "Drain" };
      default:
        throw new Error("no body");
    }
  }

  /** JSON has one zero. */
  const normal = (message: WorkerMessage): unknown =>
    message.kind === "Assign" ? { ...message, parameters: JSON.parse(JSON.stringify(message.parameters)) } : message;
});
