/**
 * The worker's command-line values, checked.
 *
 * Guarantees: what comes out can be used as it is; what is wrong throws ConvsweepError BAD_INPUT naming the option, what
 * was expected and what was found. The access token is read from its file and appears in no message. Not here: which
 * devices exist (devices.ts).
 */
import { readFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { join, resolve } from "node:path";
import { ConvsweepError } from "../proto/contract.js";
import { checkPrivate } from "../proto/private-file.js";
import { Secret } from "../proto/secret.js";
import { checkPlaintext, plaintextAllowed, readClientTls, type TlsFiles } from "../proto/tls.js";
import { dataFolder } from "./data/cache.js";
import { LOG_LEVELS } from "./log.js";

export interface JoinConfig {
  /** HOST:PORT */
  readonly coordinator: string;
  readonly token: Secret;
  /** Read again for every connection, so that a renewed certificate is used without a restart. */
  readonly tlsFiles: TlsFiles;
  readonly name: string;
  readonly devices: readonly string[];
  readonly lanes: number | null;
  readonly threads: number | null;
  /** Bytes of each device that trials may take; `null`: all it has. */
  readonly memory: number | null;
  readonly dataDir: string;
  /** Folder of the spools. */
  readonly spoolDir: string;
  /** Milliseconds between two checkpoints of an attempt, at least. */
  readonly checkpointMillis: number;
  readonly logLevel: (typeof LOG_LEVELS)[number];
}

/** As commander gives them. */
export interface JoinOptions {
  readonly coordinator: string;
  /** Default: the token that came with the identity. */
  readonly tokenFile?: string;
  readonly ca?: string;
  readonly identity?: string;
  readonly insecurePlaintext?: boolean;
  readonly name?: string;
  readonly devices: string;
  readonly lanes: string;
  readonly threads?: string;
  readonly memory?: string;
  readonly data?: string;
  readonly spool?: string;
  readonly checkpointEvery?: string;
  readonly logLevel: string;
  /** Ends with the process that started it. */
  readonly withParent?: boolean;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}$/;

function bad(path: string, message: string, expected: string, found: string): ConvsweepError {
  return new ConvsweepError("BAD_INPUT", message, { path, expected, found });
}

export function wholeNumber(path: string, text: string, most: number): number {
  const value = /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > most) throw bad(path, "not such a number", `a whole number from 1 to ${most}`, text);
  return value;
}

const UNITS: Readonly<Record<string, number>> = {
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** `8GiB`, `1.5 GB`: bytes. */
export function byteSize(path: string, text: string): number {
  const [, number = "", unit = ""] = /^([0-9]{1,6}(?:\.[0-9]{1,6})?) ?([A-Za-z]{2,3})$/.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * (UNITS[unit] ?? Number.NaN));
  if (!(bytes > 0)) throw bad(path, "not an amount of memory", `a number with ${Object.keys(UNITS).join(", ")}`, text);
  return bytes;
}

/** `HOST:PORT`, also `[::1]:7440`. */
export function checkAddress(text: string): string {
  const match = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[1] ?? 0);
  if (port < 1 || port > 65_535) throw bad("--coordinator", "not an address", "HOST:PORT", text);
  return text;
}

/** `cuda:0,cpu`: ids, in order. */
export function deviceList(text: string): readonly string[] {
  const ids = text.split(",").map((id) => id.trim());
  if (ids.includes("")) throw bad("--devices", "a device is missing", "for example cpu or cuda:0,cpu", text);
  return ids;
}

function readToken(file: string): Secret {
  let text: string;
  try {
    checkPrivate(file, "a secret", "--token-file");
    text = readFileSync(file, "utf8").trim();
  } catch (cause) {
    if (cause instanceof ConvsweepError) throw cause;
    throw new ConvsweepError("BAD_INPUT", `the token file cannot be read: ${(cause as Error).message}`, {
      path: "--token-file",
      cause,
    });
  }
  // It travels in a header: printable ASCII without spaces.
  if (!/^[\x21-\x7e]{1,512}$/.test(text)) {
    throw bad(
      "--token-file",
      `${file} holds no token`,
      "one token on one line",
      text === "" ? "an empty file" : "other text",
    );
  }
  return new Secret(text);
}

/** The host's name and the process's number: of two workers on a host none takes the other's place. */
function defaultName(): string {
  return `${
    hostname()
      .replace(/[^A-Za-z0-9._-]/g, "-")
      .replace(/^[^A-Za-z0-9]+/, "")
      .slice(0, 100) || "worker"
  }-${process.pid}`;
}

/** `--spool DIR`, else CONVSWEEP_SPOOL, else `${XDG_CACHE_HOME:-~/.cache}/convsweep/spool`. */
function spoolFolder(option: string | null, env: NodeJS.ProcessEnv): string {
  const chosen = option ?? env["CONVSWEEP_SPOOL"] ?? "";
  if (chosen !== "") return resolve(chosen);
  const cache = env["XDG_CACHE_HOME"] ?? "";
  return join(cache === "" ? join(homedir(), ".cache") : resolve(cache), "convsweep", "spool");
}

export function joinConfig(options: JoinOptions, env: NodeJS.ProcessEnv): JoinConfig {
  const name = options.name ?? defaultName();
  if (!NAME.test(name)) throw bad("--name", "not a name for a worker", "letters, digits and . _ : @ + -", name);
  const logLevel = LOG_LEVELS.find((level) => level === options.logLevel);
  if (!logLevel) throw bad("--log-level", "no such level", LOG_LEVELS.join(", "), options.logLevel);
  const coordinator = checkAddress(options.coordinator);
  const tlsFiles = { ca: options.ca ?? null, identity: options.identity ?? null };
  const tls = readClientTls(tlsFiles);
  checkPlaintext(coordinator, tls, plaintextAllowed(options.insecurePlaintext === true, env));
  const token = options.tokenFile === undefined ? (tls?.token ?? null) : readToken(options.tokenFile);
  if (token === null) {
    throw bad("--token-file", "a token is needed", "--token-file FILE, or an identity that holds one", "neither");
  }
  return {
    coordinator,
    token,
    tlsFiles,
    name,
    devices: deviceList(options.devices),
    lanes: options.lanes === "auto" ? null : wholeNumber("--lanes", options.lanes, 65_536),
    threads: options.threads === undefined ? null : wholeNumber("--threads", options.threads, 4_096),
    memory: options.memory === undefined ? null : byteSize("--memory", options.memory),
    dataDir: dataFolder(options.data ?? null, env),
    spoolDir: spoolFolder(options.spool ?? null, env),
    checkpointMillis: 1_000 * wholeNumber("--checkpoint-every", options.checkpointEvery ?? "10", 86_400),
    logLevel,
  };
}
