/**
 * Reads a whole file into memory, plain or gzipped (told by its first bytes, not by its name).
 *
 * Guarantees: never more than the expected size and a little is held, whatever the file claims; a gzip stream that is
 * damaged, cut or followed by rubbish is refused with the byte of the compressed file where it goes wrong.
 *
 * Does not know what the bytes mean, nor write anything.
 */
import { open } from "node:fs/promises";
import { constants, gunzipSync, type ZlibOptions } from "node:zlib";
import { ConvsweepError } from "../../proto/contract.js";
import { fileFault } from "./fault.js";

export interface Contents {
  readonly bytes: Uint8Array;
  /** How to call these bytes in a message about one of them. */
  readonly called: string;
  /** The file's own size, when it was longer than what was read of it, else that of `bytes`. */
  readonly size: number;
  readonly gzipped: boolean;
}

/** Room for an answer to "what follows?" beyond the expected end, and for gzip's own overhead. */
const SLACK = 1 << 20;

/** Reads `file`, of which `expected` bytes are wanted after unpacking. */
export async function readContents(file: string, expected: number): Promise<Contents> {
  const { head, size } = await readHead(file, expected + SLACK);
  const gzipped = head.length >= 2 && head[0] === 0x1f && head[1] === 0x8b;
  if (!gzipped) return { bytes: head, called: file, size, gzipped };
  if (size > head.length) {
    throw fileFault(
      file,
      head.length,
      `the end of ${expected} bytes packed by gzip`,
      `${size - head.length} bytes more`,
    );
  }
  const bytes = unpack(file, head, expected);
  return { bytes, called: `${file} (unpacked)`, size: bytes.length, gzipped };
}

async function readHead(file: string, most: number): Promise<{ head: Uint8Array; size: number }> {
  const handle = await open(file, "r");
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) {
      throw new ConvsweepError("CORRUPT", `${file}: expected a file, found something else`, { path: file });
    }
    const buffer = new Uint8Array(Math.min(stat.size, most));
    let at = 0;
    while (at < buffer.length) {
      const { bytesRead } = await handle.read(buffer, at, buffer.length - at, at);
      if (bytesRead === 0) break;
      at += bytesRead;
    }
    return { head: buffer.subarray(0, at), size: Math.max(stat.size, at) };
  } finally {
    await handle.close();
  }
}

/** Node's `info` answers the engine beside the buffer, which the types do not know. */
interface Unpacked {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

function unpack(file: string, packed: Uint8Array, expected: number): Uint8Array {
  const options = { info: true, maxOutputLength: expected + SLACK } as ZlibOptions;
  try {
    const { buffer, engine } = gunzipSync(packed, options) as unknown as Unpacked;
    if (engine.bytesWritten < packed.length) {
      throw fileFault(
        file,
        engine.bytesWritten,
        "the end of the gzip stream",
        `${packed.length - engine.bytesWritten} bytes more`,
      );
    }
    return buffer;
  } catch (error) {
    if (error instanceof ConvsweepError) throw error;
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ERR_BUFFER_TOO_LARGE") {
      throw fileFault(`${file} (unpacked)`, expected, `the end after ${expected} bytes`, "more");
    }
    if (code === "Z_BUF_ERROR") throw fileFault(file, packed.length, "more of the gzip stream", "the end of the file");
    throw fileFault(file, firstBadByte(packed, options), "a sound gzip stream", (error as Error).message);
  }
}

/**
 * The longest prefix that still unpacks, by bisection: a prefix fails exactly when it holds the offending byte. Costs
 * a second on the largest file, and only when it is damaged.
 */
function firstBadByte(packed: Uint8Array, options: ZlibOptions): number {
  const sound = (length: number): boolean => {
    try {
      gunzipSync(packed.subarray(0, length), { ...options, finishFlush: constants.Z_SYNC_FLUSH });
      return true;
    } catch {
      return false;
    }
  };
  let good = 0;
  let bad = packed.length;
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    if (sound(middle)) good = middle;
    else bad = middle;
  }
  return good;
}
