/**
 * A raster as a PNG file, and the chunks a PNG file is made of.
 *
 * Guarantees: the same raster gives the same bytes. Format: PNG Specification, Third Edition (W3C 2025).
 */
import { crc32 } from "node:zlib";
import { encode } from "fast-png";
import { ConvsweepError } from "../../proto/contract.js";
import type { Raster } from "./raster.js";

export const PNG_SIGNATURE: readonly number[] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

export function encodePng({ width, height, channels, data }: Raster): Uint8Array {
  return encode({ width, height, channels, data, depth: 8 });
}

export interface Chunk {
  /** Four letters. */
  readonly type: string;
  readonly data: Uint8Array;
}

/** The chunks of a PNG file. Throws CORRUPT if it is none. */
export function chunksOf(png: Uint8Array): Chunk[] {
  const bytes = Buffer.from(png.buffer, png.byteOffset, png.byteLength);
  if (!PNG_SIGNATURE.every((byte, i) => bytes[i] === byte)) throw new ConvsweepError("CORRUPT", "this is no PNG file");
  const chunks: Chunk[] = [];
  for (let at = PNG_SIGNATURE.length; at < bytes.length; ) {
    const size = at + 8 <= bytes.length ? bytes.readUInt32BE(at) : bytes.length;
    if (at + 12 + size > bytes.length) throw new ConvsweepError("CORRUPT", "the PNG file is cut short");
    chunks.push({ type: bytes.toString("latin1", at + 4, at + 8), data: bytes.subarray(at + 8, at + 8 + size) });
    at += 12 + size;
  }
  return chunks;
}

export function fileOf(chunks: readonly Chunk[]): Uint8Array {
  const parts: Uint8Array[] = [Uint8Array.from(PNG_SIGNATURE)];
  for (const { type, data } of chunks) {
    const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
    const frame = Buffer.alloc(8);
    frame.writeUInt32BE(data.byteLength, 0);
    frame.writeUInt32BE(crc32(body), 4);
    parts.push(frame.subarray(0, 4), body, frame.subarray(4));
  }
  return Buffer.concat(parts);
}
