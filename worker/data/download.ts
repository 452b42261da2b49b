/**
 * Downloads one file from the first of its addresses that works.
 *
 * Guarantees: the file appears under its name only when its size and checksums are right; until then it is `NAME.part`,
 * from which a later call goes on (HTTP Range), also at another address. A silent connection is given up after
 * `idleMillis`; a broken one is taken up again where it broke; an address that answers wrongly is left for the next one.
 * When all fail, the error lists every address with its reason. One process at a time works on a file.
 *
 * Does not unpack, and knows no data sets.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { ConvsweepError } from "../../proto/contract.js";
import { withLock } from "./lock.js";
import type { Download } from "./publishers.js";

export interface DownloadProgress {
  readonly file: string;
  readonly url: string;
  readonly received: number;
  readonly total: number;
}

export interface DownloadOptions {
  readonly onProgress: (progress: DownloadProgress) => void;
  /** Told in one sentence what went wrong and what is tried next. */
  readonly onTrouble: (text: string) => void;
  readonly signal: AbortSignal | null;
  /** Without a byte for so long, the connection counts as dead. */
  readonly idleMillis: number;
  /** How often all addresses are tried. */
  readonly rounds: number;
  /** Before round n (from 1) of the addresses. */
  readonly backoffMillis: (round: number) => number;
}

export const DOWNLOAD_DEFAULTS: DownloadOptions = {
  onProgress: () => {},
  onTrouble: () => {},
  signal: null,
  idleMillis: 30_000,
  rounds: 4,
  backoffMillis: (round) => 1_000 * 3 ** (round - 1),
};

/** `again`: this address may work later. `from zero`: what was received is of no use. */
class Trouble extends Error {
  readonly again: boolean;
  readonly fromZero: boolean;

  constructor(message: string, again: boolean, fromZero = false) {
    super(message);
    this.again = again;
    this.fromZero = fromZero;
  }
}

/** Makes `path` hold the download. Throws UNAVAILABLE, or CONFLICT where another process is at it. */
export async function download(what: Download, path: string, options: DownloadOptions): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await withLock(`${path}.lock`, async () => {
    if (await sumsAgree(what, path)) return;
    await fetchPart(what, `${path}.part`, options);
    await rename(`${path}.part`, path);
  });
}

/** Whether `path` is there with the download's size and checksums. */
export async function sumsAgree(what: Download, path: string): Promise<boolean> {
  const size = (await stat(path).catch(() => null))?.size;
  if (size !== what.bytes) return false;
  const sums = await sumsOf(path);
  return sums.md5 === what.md5 && sums.sha256 === what.sha256;
}

/** Checksums of a file's bytes, in hex. */
export async function sumsOf(path: string): Promise<{ readonly md5: string; readonly sha256: string }> {
  const md5 = createHash("md5");
  const sha256 = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    md5.update(chunk as Buffer);
    sha256.update(chunk as Buffer);
  }
  return { md5: md5.digest("hex"), sha256: sha256.digest("hex") };
}

async function fetchPart(what: Download, part: string, options: DownloadOptions): Promise<void> {
  const given = new Map<string, string>();
  const usable = (): readonly string[] => what.urls.filter((url) => !given.has(url));
  const reasons = new Map<string, string>();
  for (let round = 0; round < options.rounds && usable().length > 0; round++) {
    if (round > 0) await pause(options.backoffMillis(round), options.signal);
    for (const url of usable()) {
      const trouble = await tryAddress(what, url, part, options);
      if (trouble === null) return;
      reasons.set(url, trouble.message);
      if (!trouble.again) given.set(url, trouble.message);
      options.onTrouble(`${url}: ${trouble.message}`);
    }
  }
  throw new ConvsweepError(
    "UNAVAILABLE",
    `${what.file} could not be downloaded:\n${[...reasons].map(([url, why]) => `  ${url}: ${why}`).join("\n")}\n` +
      `Downloaded by other means, it belongs at ${part.slice(0, -".part".length)}.`,
    { path: part },
  );
}

/** Uses one address for as long as it yields bytes. `null` when the part is whole and right. */
async function tryAddress(
  what: Download,
  url: string,
  part: string,
  options: DownloadOptions,
): Promise<Trouble | null> {
  for (let before = await sizeOf(part); ; ) {
    let trouble: Trouble;
    try {
      await receive(what, url, part, options);
      const sums = await sumsOf(part);
      if (sums.md5 === what.md5 && sums.sha256 === what.sha256) return null;
      trouble = new Trouble(`wrong checksum: expected MD5 ${what.md5}, found ${sums.md5}`, false, true);
      await rm(part, { force: true });
      // What was there before may be the culprit: this address gets one chance to send it all.
      if (before === 0) return trouble;
      before = 0;
      options.onTrouble(`${url}: the file put together from several tries has a wrong checksum; starting anew`);
    } catch (error) {
      if (options.signal?.aborted === true) throw interrupted(part);
      if (!(error instanceof Trouble)) throw error;
      trouble = error;
      if (trouble.fromZero) await rm(part, { force: true });
      const after = await sizeOf(part);
      if (!trouble.again || after <= before) return trouble;
      options.onTrouble(`${url}: ${trouble.message}; going on from byte ${after}`);
      before = after;
    }
  }
}

async function receive(what: Download, url: string, part: string, options: DownloadOptions): Promise<void> {
  let at = await sizeOf(part);
  if (at === what.bytes) return;
  if (at > what.bytes) {
    await rm(part, { force: true });
    at = 0;
  }
  const dead = new AbortController();
  const signal = options.signal === null ? dead.signal : AbortSignal.any([dead.signal, options.signal]);
  const silence = new Trouble(`silent for ${options.idleMillis / 1000} s`, true);
  const timer = setTimeout(() => dead.abort(silence), options.idleMillis);
  try {
    // Not compressed on the way: the bytes counted and checked are the file's own.
    const headers = { "accept-encoding": "identity", ...(at > 0 ? { range: `bytes=${at}-` } : {}) };
    const response = await fetch(url, { headers, signal, redirect: "follow" });
    const from = acceptAnswer(response, what, at);
    const handle = await open(part, from === 0 ? "w" : "a");
    try {
      await append(response, handle, from, what, (received) => {
        timer.refresh();
        options.onProgress({ file: what.file, url, received, total: what.bytes });
      });
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof Trouble) throw error;
    if (dead.signal.aborted) throw silence;
    throw troubleOf(error);
  } finally {
    clearTimeout(timer);
    dead.abort();
  }
}

/** The byte at which the body begins. Throws Trouble when it is not (the rest of) the file. */
function acceptAnswer(response: Response, what: Download, at: number): number {
  const { status } = response;
  if (status === 416) throw new Trouble("answered 416 (range not satisfiable)", true, true);
  if (status !== 200 && status !== 206) {
    const passing = status >= 500 || status === 408 || status === 429;
    throw new Trouble(`answered ${status}${response.statusText === "" ? "" : ` (${response.statusText})`}`, passing);
  }
  const coding = response.headers.get("content-encoding");
  if (coding !== null && coding !== "identity") throw new Trouble(`answered in content encoding ${coding}`, false);
  let from = 0;
  if (status === 206) {
    const range = response.headers.get("content-range") ?? "";
    const match = /^bytes ([0-9]+)-([0-9]+)\/([0-9]+|\*)$/.exec(range);
    if (match === null || Number(match[1]) !== at || (match[3] !== "*" && Number(match[3]) !== what.bytes)) {
      throw new Trouble(
        `expected bytes ${at} to the end of ${what.bytes}, answered range ${JSON.stringify(range)}`,
        false,
      );
    }
    from = at;
  }
  const length = response.headers.get("content-length");
  if (length !== null && Number(length) !== what.bytes - from) {
    throw new Trouble(`expected ${what.bytes - from} bytes, its Content-Length says ${length}`, false);
  }
  return from;
}

async function append(
  response: Response,
  handle: FileHandle,
  from: number,
  what: Download,
  onBytes: (received: number) => void,
): Promise<void> {
  let received = from;
  if (response.body !== null) {
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      received += chunk.length;
      if (received > what.bytes) throw new Trouble(`expected ${what.bytes} bytes, sends more`, false, true);
      await handle.writeFile(chunk);
      onBytes(received);
    }
  }
  if (received < what.bytes) throw new Trouble(`ended after ${received} of ${what.bytes} bytes`, true);
}

/** A failed write is the machine's trouble and goes up as it is; all else is the network's. */
function troubleOf(error: unknown): unknown {
  const system = error as NodeJS.ErrnoException;
  if (["ENOSPC", "EACCES", "EROFS", "EDQUOT", "EIO", "EISDIR"].includes(system.code ?? "")) return error;
  const cause = (error as Error).cause;
  const why = cause instanceof Error && cause.message !== "" ? cause.message : (error as Error).message;
  const code = cause instanceof Error ? (cause as NodeJS.ErrnoException).code : undefined;
  return new Trouble(`connection failed (${code ?? why})`, true);
}

async function sizeOf(part: string): Promise<number> {
  return (await stat(part).catch(() => null))?.size ?? 0;
}

function interrupted(part: string): ConvsweepError {
  return new ConvsweepError("UNAVAILABLE", "interrupted; the same command goes on from here later", { path: part });
}

async function pause(millis: number, signal: AbortSignal | null): Promise<void> {
  await wait(millis, undefined, signal === null ? {} : { signal }).catch(() => {
    throw new ConvsweepError("UNAVAILABLE", "interrupted; the same command goes on from here later");
  });
}
