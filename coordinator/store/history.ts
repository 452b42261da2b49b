/**
 * What is remembered of a store outside its database: `store.json` (which store, which generation) and `hwm` (how many
 * commits it had made).
 *
 * SQLite cannot tell a database whose newest commits are gone (a lost write-ahead log, a copy from yesterday) from a
 * sound one: with a mark beside it, it can be told. Guarantees: store.json is replaced whole and fsynced; the mark is
 * written about once a second, beside the main thread, and at a clean end, in two slots in turn, so that a torn write
 * leaves the one before; it never says more than was committed. Not here: what to do about a difference (open.ts).
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fdatasync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  write,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { ConvsweepError } from "../../proto/contract.js";
import { syncFile, syncFolder } from "./durable.js";

export interface StoreFile {
  /** The store's random id. */
  readonly store: string;
  readonly generation: number;
}

export interface Mark extends StoreFile {
  readonly commit: number;
}

export const storeFilePath = (dir: string): string => join(dir, "store.json");
export const markPath = (dir: string): string => join(dir, "hwm");

/** `null` where there is none: a store from before it was kept, or no store at all. */
export function readStoreFile(dir: string): StoreFile | null {
  const path = storeFilePath(dir);
  if (!existsSync(path)) return null;
  try {
    const { store, generation } = JSON.parse(readFileSync(path, "utf8")) as { store?: unknown; generation?: unknown };
    if (typeof store === "string" && typeof generation === "number" && Number.isSafeInteger(generation)) {
      return { store, generation };
    }
  } catch {
    // Said below.
  }
  throw new ConvsweepError("CORRUPT", `${path} is damaged: it names no store and generation`, {
    path,
    expected: '{"store": ID, "generation": N}',
    found: "something else",
  });
}

export function writeStoreFile(dir: string, { store, generation }: StoreFile): void {
  const path = storeFilePath(dir);
  const fresh = `${path}.new`;
  writeFileSync(fresh, `${JSON.stringify({ store, generation })}\n`, { mode: 0o600 });
  chmodSync(fresh, 0o600);
  syncFile(fresh);
  renameSync(fresh, path);
  syncFolder(dir);
}

const SLOT_BYTES = 128;
const WRITE_MILLIS = 1_000;

function slotOf({ store, generation, commit }: Mark): Buffer {
  const text = `convsweep ${store} ${generation} ${commit}`;
  const line = `${text} ${crc32(text).toString(16).padStart(8, "0")}\n`;
  return Buffer.from(line.padEnd(SLOT_BYTES, " "));
}

/** The highest commit that is on record of this store and generation; `null` if nothing says. */
export function readMark(dir: string, { store, generation }: StoreFile): number | null {
  const path = markPath(dir);
  if (!existsSync(path)) return null;
  let highest: number | null = null;
  const text = readFileSync(path, "latin1");
  for (let at = 0; at < text.length; at += SLOT_BYTES) {
    const match = /^(convsweep (\S+) ([0-9]+) ([0-9]+)) ([0-9a-f]{8})\n/.exec(text.slice(at, at + SLOT_BYTES));
    if (!match || crc32(match[1] ?? "") !== Number.parseInt(match[5] ?? "", 16)) continue;
    if (match[2] === store && Number(match[3]) === generation) highest = Math.max(highest ?? 0, Number(match[4]));
  }
  return highest;
}

export class HighWaterMark {
  readonly #file: number;
  readonly #of: StoreFile;
  #slot = 0;
  #commit: number;
  #written = -1;
  #timer: NodeJS.Timeout | null = null;
  /** The system is at a write to the slot whose turn it is. */
  #writing = false;
  #closed = false;

  constructor(dir: string, of: StoreFile, commit: number) {
    const path = markPath(dir);
    const isNew = !existsSync(path);
    this.#file = openSync(path, isNew ? "w+" : "r+", 0o600);
    this.#of = of;
    this.#commit = commit;
    // Of another generation nothing counts any more: both slots say what is true now.
    this.#write();
    this.#written = -1;
    this.#write();
    if (isNew) syncFolder(dir);
  }

  /** A commit has returned. */
  note(commit: number): void {
    this.#commit = commit;
    this.#writeLater();
  }

  close(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    this.#closed = true;
    // Beside the slot that the system is writing, which has an older commit: it may be done before or after, and the newest counts.
    if (this.#writing) this.#slot = 1 - this.#slot;
    this.#write();
    if (!this.#writing) closeSync(this.#file);
  }

  #writeLater(): void {
    if (this.#writing) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      this.#writeBeside();
    }, WRITE_MILLIS).unref();
  }

  #writeBeside(): void {
    const commit = this.#commit;
    if (this.#written === commit) return;
    this.#writing = true;
    const ended = (failed: Error | null): void => {
      this.#writing = false;
      if (this.#closed) return closeSync(this.#file);
      if (failed === null) this.#wrote(commit);
      if (this.#commit !== this.#written) this.#writeLater();
    };
    write(this.#file, slotOf({ ...this.#of, commit }), 0, SLOT_BYTES, this.#slot * SLOT_BYTES, (failed) => {
      if (failed) ended(failed);
      else fdatasync(this.#file, ended);
    });
  }

  #wrote(commit: number): void {
    this.#written = commit;
    this.#slot = 1 - this.#slot;
  }

  /** A mark that cannot be written lags behind; it is a witness, not the record. */
  #write(): void {
    if (this.#written === this.#commit) return;
    try {
      writeSync(this.#file, slotOf({ ...this.#of, commit: this.#commit }), 0, SLOT_BYTES, this.#slot * SLOT_BYTES);
      fsyncSync(this.#file);
      this.#wrote(this.#commit);
    } catch {
      // The next one may work.
    }
  }
}
