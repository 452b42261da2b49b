/**
 * What the worker has said and may have to say again, on disk: it outlives the process.
 *
 * A folder a worker's name, with a lock that the operating system drops with the process. `spool` is a file of records
 * (length, CRC-32, payload), only ever appended to and begun anew when nothing in it is of use. Guarantees: a record is
 * written before the message goes out; a torn or damaged tail is dropped, what came before it is not; a second process
 * of the same name gets no spool. After a kill nothing is lost; after a loss of power at most the last second. A disk that takes no
 * more, once the spool is open, is told of and keeps nobody from training: messages are in memory alone until all of them are settled,
 * then the file is begun anew.
 * Not here: what is kept (outbox.ts), what is done with what a dead process left (agent.ts).
 */
import {
  appendFileSync,
  closeSync,
  existsSync,
  fdatasync,
  fdatasyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import Database from "better-sqlite3";
import { LIMITS } from "../proto/contract.js";
import { Numbered } from "../proto/gen/convsweep/v1/worker.js";
import type { Predecessor } from "./agent-messages.js";
import type { Held } from "./messages.js";
import type { Entry } from "./outbox.js";

type Line =
  /** `before`: lives that are dead and whose end the coordinator has not heard of. */
  | { readonly kind: "begin"; readonly incarnation: string; readonly before?: readonly string[] }
  | { readonly kind: "store"; readonly store: string }
  | { readonly kind: "put"; readonly id: number; readonly held: Held | null; readonly message: string }
  | { readonly kind: "done"; readonly ids: readonly number[] };

const HEAD_BYTES = 8;
const SYNC_MILLIS = 1_000;
/** A record longer than any message can be is damage. */
const RECORD_AT_MOST = 16 << 20;

export class Spool {
  readonly #folder: string;
  readonly #lock: Database.Database;
  readonly #file: number;
  readonly #incarnation: string;
  #isWelcome = false;
  /** Bytes of what is of use, by id. */
  readonly #live = new Map<number, number>();
  #liveBytes = 0;
  #end = 0;
  #store = "";
  #isReady = false;
  /** The disk refused a record: what follows is not on it. */
  #isBroken = false;
  readonly #onTrouble: (why: string) => void;
  #dirty: NodeJS.Timeout | null = null;
  /** What the process before has left; `null` if there was none. */
  readonly before: Predecessor | null;

  private constructor(folder: string, lock: Database.Database, incarnation: string, onTrouble: (why: string) => void) {
    this.#onTrouble = onTrouble;
    this.#folder = folder;
    this.#lock = lock;
    this.#incarnation = incarnation;
    const path = join(folder, "spool");
    this.before = existsSync(path) ? readSpool(readFileSync(path)) : null;
    // What was left stays in place until all of it is in the new file: see `ready`.
    this.#file = openSync(`${path}.new`, "w+", 0o600);
    this.#begin();
    if (this.before && this.before.store !== "") this.#of(this.before.store);
  }

  /** Everything inherited is kept: the new file takes the place of the old one. Idempotent. */
  ready(): void {
    if (this.#isReady || this.#isBroken) return;
    this.#try(() => {
      fdatasyncSync(this.#file);
      renameSync(join(this.#folder, "spool.new"), join(this.#folder, "spool"));
      this.#isReady = true;
    });
  }

  /** `null` if another process has the folder: then the worker goes on without. `onTrouble` hears why a disk takes no more, once. */
  static open(
    root: string,
    worker: string,
    incarnation: string,
    onTrouble: (why: string) => void = () => undefined,
  ): Spool | null {
    const folder = join(root, worker.replaceAll("/", "_"));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const lock = new Database(join(folder, "lock.db"), { timeout: 0 });
    try {
      lock.pragma("journal_mode = MEMORY");
      lock.exec("BEGIN EXCLUSIVE");
    } catch (thrown) {
      lock.close();
      if ((thrown as { readonly code?: unknown }).code === "SQLITE_BUSY") return null;
      throw thrown;
    }
    return new Spool(folder, lock, incarnation, onTrouble);
  }

  /** What counts towards the limit. */
  get bytes(): number {
    return this.#liveBytes;
  }

  keep({ id, held, body }: Entry): void {
    const message = Buffer.from(Numbered.encode({ body }).finish()).toString("base64");
    const bytes = this.#note({ kind: "put", id, held, message });
    this.#live.set(id, bytes);
    this.#liveBytes += bytes;
  }

  drop(entries: readonly Entry[]): void {
    const ids = entries.flatMap(({ id }) => (this.#live.has(id) ? [id] : []));
    if (ids.length === 0) return;
    for (const id of ids) {
      this.#liveBytes -= this.#live.get(id) ?? 0;
      this.#live.delete(id);
    }
    if (this.#live.size > 0) this.#note({ kind: "done", ids });
    else this.#beginAnew();
  }

  /** The coordinator knows this life, and what is kept is for this store. */
  welcomed(store: string): void {
    if (!this.#isWelcome) {
      this.#isWelcome = true;
      if (this.before && !this.#isBroken) this.#try(() => this.#begin());
    }
    this.#of(store);
  }

  #of(store: string): void {
    if (store === this.#store) return;
    this.#store = store;
    this.#note({ kind: "store", store });
  }

  /** Puts down what the coordinator would not have, as JSON lines, and answers the file; `null` if the disk did not take it. */
  refuse(held: Held, entries: readonly Entry[], reason: string): string | null {
    const path = join(this.#folder, "refused.jsonl");
    const at = new Date().toISOString();
    const lines = entries.map(({ body }) => `${JSON.stringify({ at, ...held, reason, message: body })}\n`);
    return this.#try(() => appendFileSync(path, lines.join(""), { mode: 0o600 })) ? path : null;
  }

  close(): void {
    if (this.#dirty) clearTimeout(this.#dirty);
    closeSync(this.#file);
    // Nothing is owed: the next process has no predecessor to speak for.
    const speaksFor = this.before !== null && !this.#isWelcome;
    if (this.#live.size === 0 && !speaksFor) {
      this.#try(() => rmSync(join(this.#folder, "spool"), { force: true }));
    }
    this.#lock.close();
  }

  #beginAnew(): void {
    const begun = this.#try(() => {
      ftruncateSync(this.#file, 0);
      this.#end = 0;
      this.#begin();
      if (this.#store !== "") this.#append({ kind: "store", store: this.#store });
    });
    // Nothing is of use that is not in the file.
    if (begun) this.#isBroken = false;
  }

  /** Whether the disk took it. */
  #try(write: () => void): boolean {
    try {
      write();
      return true;
    } catch (thrown) {
      if (!this.#isBroken) this.#onTrouble((thrown as Error).message);
      this.#isBroken = true;
      return false;
    }
  }

  /** Bytes of the record, whether the disk took it or not: what is of use is bounded in memory too. */
  #note(line: Line): number {
    const record = recordOf(line);
    if (!this.#isBroken) this.#try(() => this.#write(record));
    return record.length;
  }

  #begin(): void {
    const before = this.#isWelcome ? [] : (this.before?.lives ?? []);
    this.#append({ kind: "begin", incarnation: this.#incarnation, before });
  }

  #append(line: Line): void {
    this.#write(recordOf(line));
  }

  #write(record: Buffer): void {
    const written = writeSync(this.#file, record, 0, record.length, this.#end);
    if (written < record.length) throw new Error(`only ${written} of ${record.length} bytes could be written`);
    this.#end += record.length;
    this.#dirty ??= setTimeout(() => {
      this.#dirty = null;
      fdatasync(this.#file, () => undefined);
    }, SYNC_MILLIS).unref();
  }
}

function recordOf(line: Line): Buffer {
  const payload = Buffer.from(JSON.stringify(line));
  const record = Buffer.alloc(HEAD_BYTES + payload.length);
  record.writeUInt32LE(payload.length, 0);
  record.writeUInt32LE(crc32(payload), 4);
  payload.copy(record, HEAD_BYTES);
  return record;
}

/** What dead processes left in the spool; the records up to the first that is not whole. */
export function readSpool(bytes: Buffer): Predecessor | null {
  const entries = new Map<number, Entry>();
  let lives: readonly string[] = [];
  let store = "";
  for (const line of linesOf(bytes)) {
    switch (line.kind) {
      case "begin":
        lives = namable([...(line.before ?? []), line.incarnation]);
        break;
      case "store":
        store = line.store;
        break;
      case "put": {
        const { body } = Numbered.decode(Buffer.from(line.message, "base64"));
        if (body) entries.set(line.id, { id: line.id, held: line.held, body });
        break;
      }
      case "done":
        for (const id of line.ids) entries.delete(id);
        break;
    }
  }
  return lives.length === 0 ? null : { lives, store, entries: [...entries.values()] };
}

/** Of more than may be named the oldest counts, which surely held something, and the newest. */
function namable(lives: readonly string[]): readonly string[] {
  const [oldest] = lives;
  if (oldest === undefined || lives.length <= LIMITS.livesBefore) return lives;
  return [oldest, ...lives.slice(1 - LIMITS.livesBefore)];
}

function* linesOf(bytes: Buffer): Generator<Line> {
  for (let at = 0; at + HEAD_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    const payload = bytes.subarray(at + HEAD_BYTES, at + HEAD_BYTES + length);
    // A file system may leave zeros after a loss of power: an empty record, with the right checksum.
    if (length === 0 || length > RECORD_AT_MOST || payload.length < length) return;
    if (crc32(payload) !== bytes.readUInt32LE(at + 4)) return;
    yield JSON.parse(payload.toString()) as Line;
    at += HEAD_BYTES + length;
  }
}
