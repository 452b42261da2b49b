/**
 * Takes named files out of a .tar.gz, as little of tar as that needs.
 *
 * Guarantees: writes only the files asked for, only below the folder given, each with exactly the length asked for, and
 * each under a temporary name until it is whole. An archive with a member that is not a regular file or folder, or whose
 * name is absolute, leads upwards or is no plain text, is refused outright; so is one that is cut, has a wrong header
 * checksum, or unpacks to more than `mostBytes`. Nothing is held in memory but a block and a chunk.
 *
 * Reads POSIX ustar, GNU and old v7 headers; long-name and sparse members are refused (the archives have none).
 */
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { join, posix } from "node:path";
import { createGunzip } from "node:zlib";
import { ConvsweepError } from "../../proto/contract.js";
import { fileFault } from "./fault.js";

export interface Wanted {
  /** The member's normalised name, e.g. `cifar-10-batches-bin/test_batch.bin`. */
  readonly member: string;
  /** Its path below the folder. */
  readonly file: string;
  readonly bytes: number;
}

interface Header {
  readonly name: string;
  readonly size: number;
  readonly kind: "file" | "folder" | "comment";
}

const BLOCK = 512;

/** Reads exact lengths from a stream of chunks and counts what went by. */
class Reader {
  private readonly chunks: AsyncIterator<Buffer>;
  private readonly file: string;
  private readonly most: number;
  private left: Buffer = Buffer.alloc(0);
  at = 0;

  constructor(stream: AsyncIterable<Buffer>, file: string, most: number) {
    this.file = file;
    this.most = most;
    this.chunks = stream[Symbol.asyncIterator]();
  }

  /** Up to `most` bytes, at least one; `null` at the end. */
  async some(most: number): Promise<Buffer | null> {
    while (this.left.length === 0) {
      const next = await this.chunks.next();
      if (next.done === true) return null;
      this.left = next.value;
    }
    const taken = this.left.subarray(0, most);
    this.left = this.left.subarray(taken.length);
    this.at += taken.length;
    if (this.at > this.most) throw fileFault(this.file, this.at, `at most ${this.most} bytes unpacked`, "more");
    return taken;
  }

  /** Hands `length` bytes to `use`, piece by piece. */
  async pass(length: number, use: (piece: Buffer) => Promise<void> | void): Promise<void> {
    for (let left = length; left > 0; ) {
      const piece = await this.some(left);
      if (piece === null) throw fileFault(this.file, this.at, `${left} bytes more`, "the end of the archive");
      left -= piece.length;
      await use(piece);
    }
  }

  async block(): Promise<Buffer> {
    const pieces: Buffer[] = [];
    await this.pass(BLOCK, (piece) => {
      pieces.push(Buffer.from(piece));
    });
    return Buffer.concat(pieces);
  }
}

/** Unpacks the wanted files of `archive` into `folder`. Throws CORRUPT with the byte (of the unpacked archive). */
export async function unpackTarGz(
  archive: string,
  folder: string,
  wanted: readonly Wanted[],
  mostBytes: number,
): Promise<void> {
  const called = `${archive} (unpacked)`;
  const source = createReadStream(archive);
  const gunzip = createGunzip();
  source.on("error", (error) => gunzip.destroy(error));
  const written = new Set<string>();
  try {
    const reader = new Reader(source.pipe(gunzip) as AsyncIterable<Buffer>, called, mostBytes);
    await unpackMembers(reader, called, folder, wanted, written);
  } catch (error) {
    if (error instanceof ConvsweepError) throw error;
    const { message } = error as Error;
    const why = message === "incorrect header check" ? "expected a file packed by gzip, found something else" : message;
    throw new ConvsweepError("CORRUPT", `${archive} does not unpack: ${why}`, {
      path: archive,
      cause: error,
    });
  } finally {
    source.destroy();
    gunzip.destroy();
  }
  const missing = wanted.filter(({ member }) => !written.has(member)).map(({ member }) => member);
  if (missing.length > 0) {
    throw new ConvsweepError(
      "CORRUPT",
      `${archive}: expected ${missing.join(", ")} in the archive, found no such file`,
      {
        path: archive,
      },
    );
  }
}

async function unpackMembers(
  reader: Reader,
  called: string,
  folder: string,
  wanted: readonly Wanted[],
  written: Set<string>,
): Promise<void> {
  for (;;) {
    const at = reader.at;
    const block = await reader.block();
    if (block.every((byte) => byte === 0)) return;
    const header = parseHeader(block, called, at);
    const want = header.kind === "file" ? wanted.find(({ member }) => member === header.name) : undefined;
    if (want === undefined) {
      await reader.pass(header.size, () => {});
    } else {
      if (written.has(want.member)) throw fileFault(called, at, `${want.member} once`, "it again");
      if (header.size !== want.bytes) {
        throw fileFault(called, at + 124, `${want.member} to have ${want.bytes} bytes`, `${header.size} bytes`);
      }
      await writeMember(reader, join(folder, want.file), header.size);
      written.add(want.member);
    }
    await reader.pass((BLOCK - (header.size % BLOCK)) % BLOCK, () => {});
  }
}

async function writeMember(reader: Reader, path: string, size: number): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true });
  const partial = `${path}.part`;
  // Opened anew: a link that somebody put there is replaced, not followed.
  await rm(partial, { force: true });
  const handle: FileHandle = await open(partial, "wx");
  try {
    await reader.pass(size, async (piece) => {
      await handle.writeFile(piece);
    });
    await handle.sync();
  } catch (error) {
    await handle.close();
    await rm(partial, { force: true });
    throw error;
  }
  await handle.close();
  await rename(partial, path);
}

/** Checks and reads one header block that stands at byte `at`. */
function parseHeader(block: Buffer, called: string, at: number): Header {
  const text = (from: number, length: number): string => {
    const field = block.subarray(from, from + length);
    const end = field.indexOf(0);
    return field.subarray(0, end < 0 ? length : end).toString("latin1");
  };
  const octal = (from: number, length: number, what: string): number => {
    const digits = text(from, length).trim();
    if (!/^[0-7]{1,12}$/.test(digits)) throw fileFault(called, at + from, `${what} in octal`, JSON.stringify(digits));
    return Number.parseInt(digits, 8);
  };
  let sum = 8 * 0x20;
  for (const [i, byte] of block.entries()) if (i < 148 || i >= 156) sum += byte;
  const stated = octal(148, 8, "a tar header's checksum");
  if (stated !== sum) throw fileFault(called, at + 148, `the header's checksum ${sum}`, String(stated));
  const magic = text(257, 5);
  if (magic !== "ustar" && magic !== "") throw fileFault(called, at + 257, "a tar header", JSON.stringify(magic));
  // GNU puts other things where ustar has the prefix of the name.
  const prefix = block[262] === 0 && magic === "ustar" ? text(345, 155) : "";
  const raw = prefix === "" ? text(0, 100) : `${prefix}/${text(0, 100)}`;
  const kind = memberKind(String.fromCharCode(block[156] ?? 0));
  if (kind === null || text(157, 100) !== "") {
    throw fileFault(
      called,
      at + 156,
      "only regular files and folders in the archive",
      `${JSON.stringify(raw)} of another kind`,
    );
  }
  return { name: safeName(raw, called, at), size: octal(124, 12, "a size"), kind };
}

function memberKind(flag: string): Header["kind"] | null {
  if (flag === "0" || flag === "\0" || flag === "7") return "file";
  if (flag === "5") return "folder";
  // Extended headers: attributes that matter to nobody here; a name in one is never followed.
  return flag === "x" || flag === "g" ? "comment" : null;
}

function safeName(raw: string, called: string, at: number): string {
  const name = posix.normalize(raw);
  const plain = /^[\x20-\x7e]+$/.test(raw) && !raw.includes("\\");
  if (!plain || name.startsWith("/") || /^[A-Za-z]:/.test(name) || name.split("/").includes("..")) {
    throw fileFault(called, at, "names below the archive's own folder", JSON.stringify(raw));
  }
  // `..` that normalises away still tells of an archive made to mislead.
  if (raw.split("/").includes("..")) throw fileFault(called, at, "names without `..`", JSON.stringify(raw));
  return name;
}
