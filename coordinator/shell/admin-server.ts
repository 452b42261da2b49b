/**
 * The admin service over gRPC: what the command line asks.
 *
 * Guarantees: every request is checked before it becomes an event; a change is answered once it is durable; every error
 * is a ConvsweepError that reaches the client whole (errors.ts).
 * Not here: decisions (core), authentication (authorize.ts), SQL (store/query.ts).
 */
import { statSync } from "node:fs";
import { isAbsolute } from "node:path";
import type { ServerUnaryCall, ServerWritableStream, sendUnaryData } from "@grpc/grpc-js";
import {
  ConvsweepError,
  LIMITS,
  parseTrialId,
  type SweepId,
  sweepId,
  type TrialId,
  toConvsweepError,
  trialId,
} from "../../proto/contract.js";
import type { AdminServiceServer, WatchRequest, WatchResponse } from "../../proto/gen/convsweep/v1/admin.js";
import { member } from "../core/canonical.js";
import type { Json, Parameters, ParameterValue, SweepSpec } from "../core/types.js";
import type { Store } from "../store/store.js";
import { errorToStatus } from "./errors.js";
import type { FeedHub } from "./feed-hub.js";
import type { Log } from "./log.js";
import type { Call, Runtime } from "./runtime.js";

export type SqlValue = string | number | null;

export interface QueryAnswer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  readonly truncated: boolean;
}

interface Compiled {
  readonly spec: SweepSpec;
  readonly warnings: readonly string[];
}

export interface AdminParts {
  readonly runtime: Runtime;
  readonly store: Store;
  readonly hub: FeedHub;
  readonly log: Log;
  readonly version: string;
  /** Compiles a sweep file, whose relative paths lead from `directory`; throws BAD_INPUT with the place in the file. */
  readonly compile: (text: string, fileName: string, directory: string) => Promise<Compiled>;
  readonly query: (sql: string, parameters: readonly SqlValue[]) => Promise<QueryAnswer>;
  /** A fresh one-time link to the dashboard; "" where there is none. */
  readonly dashboardLink: () => string;
}

const VALUES_AT_MOST = 1_000;

export function adminService(parts: AdminParts): AdminServiceServer {
  const call = async (event: Call): Promise<Json> => {
    const reply = await parts.runtime.submit(event);
    if (reply.ok) return reply.value;
    throw ConvsweepError.fromData(reply.error);
  };
  return {
    submitSweep: unary(parts.log, async (request) => {
      const bytes = Buffer.byteLength(request.text);
      if (bytes > LIMITS.sweepFileBytes) {
        throw new ConvsweepError("TOO_LARGE", `${request.fileName} is too large for a sweep file`, {
          expected: `at most ${LIMITS.sweepFileBytes} bytes`,
          found: `${bytes} bytes`,
        });
      }
      if (request.directory !== "" && !isAbsolute(request.directory)) {
        throw new ConvsweepError("BAD_INPUT", "the folder of the sweep file must be absolute", {
          path: "directory",
          expected: "a path from /",
          found: request.directory.slice(0, 200),
        });
      }
      const { spec, warnings } = await parts.compile(
        request.text,
        request.fileName || "the sweep file",
        request.directory || ".",
      );
      const value = await call({ kind: "SweepSubmitted", spec });
      return { sweep: numberOf(value, "sweep"), warnings: [...warnings] };
    }),
    controlSweep: unary(parts.log, async (request) => {
      const kinds = { pause: "SweepPaused", resume: "SweepResumed", cancel: "SweepCancelled" } as const;
      const sweep = sweepOf(request.sweep);
      const { action } = request;
      if (action !== "pause" && action !== "resume" && action !== "cancel") {
        throw new ConvsweepError("BAD_INPUT", `a sweep cannot be told to ${JSON.stringify(action.slice(0, 40))}`, {
          path: "action",
          expected: Object.keys(kinds).join(", "),
          found: action.slice(0, 40),
        });
      }
      await call({ kind: kinds[action], sweep });
      return {};
    }),
    extendSweep: unary(parts.log, async (request) => {
      const sweep = sweepOf(request.sweep);
      if (request.trials === 0 && request.wallMillis === 0) {
        throw new ConvsweepError("BAD_INPUT", "extend by trials, by wall time or by both", { path: "trials" });
      }
      if (request.trials > LIMITS.trialsPerSweep) {
        throw new ConvsweepError("BAD_INPUT", "that is more trials than a sweep may have", {
          path: "trials",
          expected: `at most ${LIMITS.trialsPerSweep}`,
          found: String(request.trials),
        });
      }
      await call({ kind: "SweepExtended", sweep, trials: request.trials, wallMillis: request.wallMillis });
      return {};
    }),
    stopTrial: unary(parts.log, async (request) => {
      await call({ kind: "TrialStopped", trial: trialOf(request.trial) });
      return {};
    }),
    enqueueTrial: unary(parts.log, async (request) => {
      const parameters = parametersOf(request.parameters);
      const value = await call({ kind: "TrialEnqueued", sweep: sweepOf(request.sweep), parameters });
      return { trial: textOf(value, "trial") };
    }),
    rerunTrial: unary(parts.log, async (request) => {
      const value = await call({ kind: "TrialRerun", trial: trialOf(request.trial), verify: request.verify });
      return { trial: textOf(value, "trial") };
    }),
    query: unary(parts.log, async (request) => {
      const bytes = Buffer.byteLength(request.sql);
      if (bytes > LIMITS.queryTextBytes) {
        throw new ConvsweepError("TOO_LARGE", "the query is too long", {
          path: "sql",
          expected: `at most ${LIMITS.queryTextBytes} bytes`,
          found: `${bytes} bytes`,
        });
      }
      const values = valuesOf(request.parameters);
      const answer = await parts.query(request.sql, values);
      return { columns: [...answer.columns], rows: JSON.stringify(answer.rows), truncated: answer.truncated };
    }),
    watch: (request) => watch(parts.hub, request),
    backup: unary(parts.log, async (request) => {
      if (!isAbsolute(request.path)) {
        throw new ConvsweepError("BAD_INPUT", "the backup's path must be absolute: it is the coordinator's machine's", {
          path: "path",
          expected: "a path from /",
          found: request.path.slice(0, 200),
        });
      }
      await parts.store.backup(request.path);
      return { bytes: statSync(request.path).size };
    }),
    getStatus: unary(parts.log, async () => {
      const info = parts.store.info();
      return {
        version: parts.version,
        store: info.uuid,
        storePath: info.path,
        dashboard: parts.dashboardLink(),
        pid: process.pid,
      };
    }),
  };
}

function unary<Request, Response>(log: Log, answer: (request: Request) => Promise<Response>) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>): void => {
    answer(call.request).then(
      (response) => callback(null, response),
      (thrown: unknown) => {
        const error = toConvsweepError(thrown);
        if (error.code === "INTERNAL")
          log("error", "request-failed", `${call.getPath()} failed: ${error.message}`, { stack: error.stack });
        callback(errorToStatus(error));
      },
    );
  };
}

function watch(hub: FeedHub, call: ServerWritableStream<WatchRequest, WatchResponse>): void {
  let unsent = 0;
  const leave = hub.open(
    {
      backlog: () => unsent,
      send(text, flushed) {
        unsent += text.length;
        call.write({ message: text }, () => {
          unsent -= text.length;
          flushed();
        });
      },
      close(reason) {
        const message = reason === "slow" ? "this viewer reads too slowly" : "the coordinator is closing";
        call.emit("error", errorToStatus(new ConvsweepError("UNAVAILABLE", message)));
      },
    },
    { resume: null, sweep: call.request.sweep === 0 ? null : sweepOf(call.request.sweep), parts: false },
  );
  // An error event is also how the stream's own end is said; there is nothing more to do than to leave.
  call.on("error", leave);
  call.on("cancelled", leave);
  call.on("close", leave);
}

function sweepOf(value: number): SweepId {
  if (Number.isSafeInteger(value) && value >= 1) return sweepId(value);
  throw new ConvsweepError("BAD_INPUT", "a sweep's number is 1 or more", { path: "sweep", found: String(value) });
}

function trialOf(text: string): TrialId {
  const parsed = parseTrialId(text);
  if (parsed) return trialId(parsed.sweep, parsed.number);
  const found = text.slice(0, 80);
  throw new ConvsweepError("BAD_INPUT", `${JSON.stringify(found)} is not a trial`, {
    path: "trial",
    expected: "SWEEP/NUMBER, such as 3/17",
    found,
  });
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text === "" ? "null" : text);
  } catch (cause) {
    throw new ConvsweepError("BAD_INPUT", `${path} is not JSON`, { path, cause });
  }
}

/** Names and plain values; the core checks them against the sweep's space. */
function parametersOf(text: string): Parameters {
  const value = parseJson("parameters", text);
  if (value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) {
    throw new ConvsweepError("BAD_INPUT", "parameters must be a JSON object by name", { path: "parameters" });
  }
  const entries = Object.entries(value).map(([name, one]): [string, ParameterValue] => {
    if (typeof one === "string" || typeof one === "boolean" || (typeof one === "number" && Number.isFinite(one))) {
      return [name, one];
    }
    throw new ConvsweepError("BAD_INPUT", `parameters.${name.slice(0, 80)} must be a number, a text or true/false`, {
      path: `parameters.${name.slice(0, 80)}`,
      found: JSON.stringify(one).slice(0, 80),
    });
  });
  if (entries.length > LIMITS.parameterNames) {
    throw new ConvsweepError("BAD_INPUT", "too many parameters", { path: "parameters", found: String(entries.length) });
  }
  return Object.fromEntries(entries);
}

function valuesOf(text: string): readonly SqlValue[] {
  const value = parseJson("parameters", text) ?? [];
  const plain = (one: unknown): one is SqlValue => one === null || typeof one === "string" || typeof one === "number";
  if (Array.isArray(value) && value.length <= VALUES_AT_MOST && value.every(plain)) return value;
  throw new ConvsweepError("BAD_INPUT", "bound values must be a JSON array of texts, numbers and nulls", {
    path: "parameters",
    expected: `at most ${VALUES_AT_MOST} values`,
  });
}

function numberOf(value: Json, key: string): number {
  const found = member(value, key);
  if (typeof found === "number") return found;
  throw new ConvsweepError("INTERNAL", `the answer lacks ${key}`);
}

function textOf(value: Json, key: string): string {
  const found = member(value, key);
  if (typeof found === "string") return found;
  throw new ConvsweepError("INTERNAL", `the answer lacks ${key}`);
}
