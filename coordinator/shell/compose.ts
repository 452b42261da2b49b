/**
 * A coordinator put together from parts: store, core, links, admin service, feed, page.
 *
 * Guarantees: nothing is served before the state is loaded and `Booted` is decided; what fails on the way is undone. If
 * the store cannot commit, everything is closed at once without another word to anybody (`failed` says why): the truth
 * is what the store holds, the next coordinator goes on from there. `close` decides what waits, saves it and leaves
 * nothing behind but the store; workers train on and come back. At most two queries run at once and sixteen wait.
 * Not here: which parts (coordinator.ts), how it is secured (security.ts).
 */
import { ConvsweepError, toConvsweepError } from "../../proto/contract.js";
import type { FeedMessage } from "../../proto/feed.js";
import type { TlsFiles } from "../../proto/tls.js";
import { member } from "../core/canonical.js";
import { type State, stateFrom } from "../core/state.js";
import type { Json, SweepSpec } from "../core/types.js";
import { examineBeside } from "../store/examine-beside.js";
import type { Store } from "../store/store.js";
import { type AdminParts, adminService, type QueryAnswer, type SqlValue } from "./admin-server.js";
import { openArtifactFiles } from "./artifacts.js";
import { authorizing } from "./authorize.js";
import { startBackups } from "./backup-timer.js";
import { certFiles } from "./certs-folder.js";
import { openCheckpointFiles } from "./checkpoints.js";
import type { Clock } from "./clock.js";
import type { ConnectionLimits } from "./connections.js";
import { removeCoordinatorFile, writeCoordinatorFile } from "./coordinator-file.js";
import { tokenFile } from "./credentials.js";
import { openDoors } from "./doors.js";
import { startExaminations } from "./examinations.js";
import { FeedHub } from "./feed-hub.js";
import { feedSockets } from "./feed-socket.js";
import { Gate } from "./gate.js";
import { type Address, fromHere, type GrpcListener, listenGrpc, namesOf } from "./grpc-listener.js";
import { type HttpServer, listenHttp } from "./http.js";
import { workerService } from "./link-server.js";
import { Links } from "./links.js";
import type { Log } from "./log.js";
import { Logins } from "./logins.js";
import { families } from "./metrics/families.js";
import { Meter } from "./metrics/meter.js";
import { metricsText } from "./metrics/text.js";
import { type Call, Runtime } from "./runtime.js";
import { checkStoreFolder, decideSecurity, type Secured, type Security } from "./security.js";
import { readStaticFiles } from "./static-files.js";
import { watchOver } from "./watchdog.js";
import { Webhook, type WebhookSettings } from "./webhook/webhook.js";

const QUERIES_AT_ONCE = 2;
const QUERIES_WAITING = 16;

export interface CoordinatorOptions {
  readonly storeDir: string;
  /** Go on although commits that were made are missing from the store. */
  readonly acceptRollback?: boolean;
  readonly grpc: Address;
  /** `null` for no page. */
  readonly http: Address | null;
  /** Default `auto`: plaintext on loopback, else TLS with clients' certificates. */
  readonly security?: Security;
  /** Listen beyond this machine without TLS. */
  readonly insecurePlaintext: boolean;
  /** Take any free port when the wanted one is taken. */
  readonly fallbackPort?: boolean;
  /** Further host names that browsers know the page under. */
  readonly hostNames?: readonly string[];
  /** Where ends of sweeps and failures of trials are told. */
  readonly webhook?: WebhookSettings;
  readonly log?: Log;
}

/** Reads sweep files. */
export interface Compiler {
  readonly compile: AdminParts["compile"];
  /** What is under way is refused, UNAVAILABLE. */
  close(): Promise<void>;
}

export interface CoordinatorParts {
  readonly openStore: (dir: string, acceptRollback: boolean) => Store | Promise<Store>;
  readonly openCompiler: () => Compiler;
  readonly runQuery: (dir: string, sql: string, parameters: readonly SqlValue[]) => Promise<QueryAnswer>;
  readonly clock: Clock;
  readonly version: string;
  readonly dashboardDir: string;
  readonly log: Log;
  /** Ends the process at once: it runs and does nothing, and closing would wait for that. */
  readonly abort: () => void;
  /** Other limits than connections.ts has, for tests. */
  readonly connectionLimits?: Partial<ConnectionLimits>;
}

export interface RunningCoordinator {
  readonly grpcAddress: string;
  /** How a program on this machine reaches it, and the files it needs for that. */
  readonly grpcFromHere: string;
  readonly tlsFiles: TlsFiles;
  readonly httpAddress: string | null;
  /** Each reading is a fresh one-time login link, good for five minutes; "" where there is no page. */
  readonly dashboardUrl: string;
  readonly workerTokenFile: string;
  readonly storeDir: string;
  readonly secured: Secured;
  submitSweep(spec: SweepSpec): Promise<number>;
  /** Any call of the core: answers its value or throws its error. */
  call(event: Call): Promise<Json>;
  /** Every message of the feed, a snapshot first; the answer ends it. */
  watch(listener: (message: FeedMessage) => void): () => void;
  /** Rejects when the coordinator had to stop; never resolves. */
  readonly failed: Promise<never>;
  close(): Promise<void>;
}

export async function startWith(options: CoordinatorOptions, parts: CoordinatorParts): Promise<RunningCoordinator> {
  checkStoreFolder(options.storeDir);
  const secured = decideSecurity({ ...options, security: options.security ?? "auto" });
  const store = await parts.openStore(options.storeDir, options.acceptRollback ?? false);
  const undo: (() => void | Promise<void>)[] = [() => store.close()];
  try {
    return await assemble(options, parts, store, secured, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw error;
  }
}

async function assemble(
  options: CoordinatorOptions,
  parts: CoordinatorParts,
  store: Store,
  secured: Secured,
  undo: (() => void | Promise<void>)[],
): Promise<RunningCoordinator> {
  const { clock, log, version } = parts;
  const { storeDir } = options;
  const state: State = stateFrom(store.load());
  const files = openCheckpointFiles(storeDir, log);
  files.sweep(state.trials);
  const artifacts = openArtifactFiles(storeDir);
  const security = { ...options, security: options.security ?? "auto" };
  const doors = openDoors(security, secured, parts.connectionLimits ?? {}, clock, log);
  const { tls, credentials, failures, connections } = doors;
  undo.push(() => doors.close());
  const logins = new Logins(clock);
  const whenDurable = (action: () => void): void => runtime.whenDurable(action);
  const hub = new FeedHub({ state, clock, version, log, whenDurable });
  const links = new Links();
  const queries = new Gate(QUERIES_AT_ONCE, QUERIES_WAITING, "queries");
  const meter = new Meter();
  undo.push(() => meter.close());
  let fail: (error: ConvsweepError) => void = () => {};
  const failed = new Promise<never>((_resolve, reject) => {
    fail = reject;
  });
  // Not everybody waits for it; that alone must not end the process.
  failed.catch(() => {});
  const runtime = new Runtime({
    state,
    store,
    clock,
    log,
    meter,
    listener: {
      effect(effect) {
        if (effect.kind === "send") links.send(effect);
        else if (effect.kind === "keepCheckpoints") files.keep(effect.trial, effect.digests);
        else log(effect.level, effect.event, effect.message, fieldsOf(effect.fields));
      },
      turnEnded(mutations) {
        links.turnEnded();
        hub.note(mutations);
        webhook?.turnEnded(mutations);
      },
      fatal(error) {
        log("error", "coordinator-stopping", `the coordinator stops: ${error.message}`, { code: error.code });
        // Before anything is served, `settle` below throws.
        if (!serving) return;
        stop(false).then(
          () => fail(error),
          () => fail(error),
        );
      },
    },
  });
  undo.push(() => runtime.close());
  let serving = false;
  let webhook: Webhook | null = null;
  const tokens = store.position().openings.at(-1)?.tokens ?? 0;
  runtime.push({ kind: "Booted", tokens, notes: store.openingNotes() });
  runtime.settle();
  store.onGrowing?.((why) => {
    log("error", "store-growing", `the store grows: ${why}`);
    runtime.push({ kind: "Noted", note: "store-growing", sweep: null, trial: null, detail: why });
  });

  if (options.webhook) {
    webhook = new Webhook(options.webhook, { state, store, runtime, clock, log });
    undo.push(() => webhook?.close());
  }
  const http = options.http === null ? null : await startHttp(options, options.http);
  const link = (): string =>
    http === null ? "" : `${http.scheme}://${fromHere(http.address)}/login?otp=${logins.newCode()}`;
  const query = (sql: string, values: readonly SqlValue[]) => queries.run(() => parts.runQuery(storeDir, sql, values));
  const compiler = parts.openCompiler();
  undo.push(() => compiler.close());
  const grpc: GrpcListener = await listenGrpc(options.grpc, options.fallbackPort ?? false, {
    interceptors: [authorizing({ credentials, failures, connections, refused: (why) => meter.refuse("grpc", why) })],
    connections,
    tls: secured.grpc === "plaintext" ? null : tls,
    mutual: secured.grpc === "mtls",
    admin: adminService({ runtime, store, hub, log, version, compile: compiler.compile, query, dashboardLink: link }),
    worker: workerService({ runtime, links, clock, log, store: () => store.position(), state, files, artifacts }),
  });
  undo.push(() => grpc.destroy());
  const certs = certFiles(storeDir);
  const file = {
    pid: process.pid,
    grpc: fromHere(grpc.address),
    http: http && fromHere(http.address),
    version,
    ca: secured.grpc === "plaintext" ? null : certs.ca,
    identity: secured.grpc === "mtls" ? certs.local : null,
  };
  writeCoordinatorFile(storeDir, file);
  const backups = startBackups(storeDir, store, clock, log);
  undo.push(() => backups.close());
  const examinations = startExaminations(
    clock,
    () => examineBeside(storeDir),
    log,
    (detail) => runtime.push({ kind: "Noted", note: "store-damaged", sweep: null, trial: null, detail }),
  );
  undo.push(() => examinations.close());
  const stopWatching = watchOver(
    clock,
    {
      listening: () => grpc.listening && (http?.listening ?? true),
      whenDurable,
      waiting: () => runtime.waiting,
      decided: () => meter.decisions,
      excused: () => runtime.trouble !== null,
    },
    (why) => {
      log("error", "coordinator-stopping", `the coordinator ends itself: ${why}`, { code: "UNAVAILABLE" });
      parts.abort();
    },
  );
  undo.push(stopWatching);
  serving = true;
  log("info", "coordinator-up", "the coordinator is up", {
    grpc: grpc.address,
    http: http?.address,
    store: storeDir,
    version,
  });

  let stopping: Promise<void> | null = null;
  function stop(gracefully: boolean): Promise<void> {
    stopping ??= shutDown(gracefully);
    return stopping;
  }

  async function shutDown(gracefully: boolean): Promise<void> {
    stopWatching();
    grpc.stopAccepting();
    removeCoordinatorFile(storeDir, file.grpc);
    await webhook?.close();
    if (gracefully) {
      // What already came in is decided, saved and acknowledged before anybody is sent away.
      runtime.close();
      await compiler.close();
      hub.close();
      links.endAll(new ConvsweepError("UNAVAILABLE", "the coordinator is closing"));
    }
    await http?.close();
    await (gracefully ? grpc.drain() : grpc.destroy());
    await files.settled();
    examinations.close();
    await backups.close();
    doors.close();
    store.close();
    meter.close();
    log("info", "coordinator-closed", "the coordinator is closed", { store: storeDir });
  }

  async function startHttp(settings: CoordinatorOptions, at: Address): Promise<HttpServer> {
    const server = await listenHttp(at, settings.fallbackPort ?? false, {
      state,
      store,
      clock,
      log,
      logins,
      seq: () => hub.seq,
      trouble: () => runtime.trouble,
      sockets: feedSockets(hub, logins, clock),
      files: readStaticFiles(parts.dashboardDir),
      artifacts,
      refused: (door, why) => meter.refuse(door, why),
      metrics: () => metricsText(families({ state, store, runtime, links, hub, queries, meter, version })),
      credentials,
      failures,
      tls: secured.http === "tls" ? tls : null,
      names: [...namesOf(at.host), ...(settings.hostNames ?? []), ...(tls === null ? [] : tls.hostNames)],
    });
    undo.push(() => server.close());
    return server;
  }

  async function call(event: Call): Promise<Json> {
    const reply = await runtime.submit(event);
    if (reply.ok) return reply.value;
    throw ConvsweepError.fromData(reply.error);
  }

  return {
    grpcAddress: grpc.address,
    grpcFromHere: file.grpc,
    tlsFiles: { ca: file.ca, identity: file.identity },
    httpAddress: http?.address ?? null,
    get dashboardUrl() {
      return link();
    },
    workerTokenFile: tokenFile(storeDir, "worker"),
    storeDir,
    secured,
    call,
    async submitSweep(spec) {
      const sweep = member(await call({ kind: "SweepSubmitted", spec }), "sweep");
      if (typeof sweep === "number") return sweep;
      throw new ConvsweepError("INTERNAL", "the answer lacks the sweep's number");
    },
    watch: (listener) => watchHub(hub, listener, log),
    failed,
    close: () => stop(true),
  };
}

function watchHub(hub: FeedHub, listener: (message: FeedMessage) => void, log: Log): () => void {
  return hub.open(
    {
      backlog: () => 0,
      send(text, flushed) {
        try {
          listener(JSON.parse(text) as FeedMessage);
        } catch (thrown) {
          log("error", "viewer-failed", `a viewer in this process failed: ${toConvsweepError(thrown).message}`);
        }
        setImmediate(flushed);
      },
      close: () => {},
    },
    { resume: null, sweep: null, parts: false },
  );
}

function fieldsOf(fields: Json): Readonly<Record<string, unknown>> {
  return typeof fields === "object" && fields !== null && !Array.isArray(fields) ? { ...fields } : { fields };
}
