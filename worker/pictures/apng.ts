/**
 * PNG files of one size as one animated PNG.
 *
 * Guarantees: the pixels of a frame are the compressed bytes of its file, copied; a program that knows no animation shows
 * the first frame. Format: PNG Specification, Third Edition (W3C 2025), chunks acTL, fcTL, fdAT.
 */
import { ConvsweepError } from "../../proto/contract.js";
import { type Chunk, chunksOf, fileOf } from "./png.js";

export interface AnimationOptions {
  readonly frameMillis: number;
  /** How long the last frame stays. */
  readonly lastMillis: number;
}

/** Plays for ever. Throws BAD_INPUT for no frames, or frames that differ in size or kind of pixel. */
export function animate(frames: readonly Uint8Array[], { frameMillis, lastMillis }: AnimationOptions): Uint8Array {
  const split = frames.map(chunksOf);
  const header = split[0]?.find(({ type }) => type === "IHDR");
  if (header === undefined) throw new ConvsweepError("BAD_INPUT", "an animation needs at least one frame");
  const chunks: Chunk[] = [header, { type: "acTL", data: words([frames.length, 0]) }];
  let sequence = 0;
  for (const [i, frame] of split.entries()) {
    const own = frame.find(({ type }) => type === "IHDR");
    if (own === undefined || Buffer.compare(own.data, header.data) !== 0) {
      throw new ConvsweepError("BAD_INPUT", `frame ${i} is not of the first one's size and kind`);
    }
    const size = Buffer.from(header.data.subarray(0, 8));
    const millis = i === split.length - 1 ? lastMillis : frameMillis;
    chunks.push({ type: "fcTL", data: frameControl(sequence++, size, millis) });
    for (const { type, data } of frame) {
      if (type !== "IDAT") continue;
      if (i === 0) chunks.push({ type, data });
      else chunks.push({ type: "fdAT", data: Buffer.concat([words([sequence++]), data]) });
    }
  }
  return fileOf([...chunks, { type: "IEND", data: new Uint8Array(0) }]);
}

/** The whole picture, laid over the one before. */
function frameControl(sequence: number, size: Uint8Array, millis: number): Uint8Array {
  const rest = Buffer.alloc(14);
  rest.writeUInt16BE(Math.min(millis, 65_535), 8);
  rest.writeUInt16BE(1_000, 10);
  return Buffer.concat([words([sequence]), size, rest]);
}

function words(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value, 4 * i);
  return bytes;
}
