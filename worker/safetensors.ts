/**
 * A lane's weights as a safetensors file, with a JSON file beside it that says what they are of.
 *
 * Guarantees: the same weights give the same bytes; tensors have the engine's names (native/types.ts) and PyTorch's layouts. What is
 * read is complete and finite float32 in the order of the bytes, or CORRUPT.
 * Format: https://github.com/huggingface/safetensors (8 bytes of header length, JSON, then little-endian values).
 */
import { endianness } from "node:os";
import { classNamesOf } from "../native/datasets.js";
import { ConvsweepError } from "../proto/contract.js";
import type { LaneWeights, Normalisation, Recipe } from "./engine.js";

/** What makes the weights usable elsewhere: the recipe says the layers, the data set and how images are normalised. */
export interface WeightsOf {
  /** A Recipe as JSON. */
  readonly recipe: string;
  /** JSON object: values by parameter name. */
  readonly parameters: string;
  /** 16 hexadecimal digits. */
  readonly seed: string;
}

const ALIGNMENT = 8;

export function encodeSafetensors({ tensors, data }: LaneWeights): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  let at = 0;
  for (const { name, shape } of tensors) {
    const end = at + 4 * shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: "F32", shape, data_offsets: [at, end] };
    at = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(text.length / ALIGNMENT) * ALIGNMENT;
  const file = Buffer.alloc(8 + padded + at, " ");
  file.writeBigUInt64LE(BigInt(padded));
  text.copy(file, 8);
  const values = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const target = file.subarray(8 + padded);
  values.copy(target);
  if (endianness() === "BE") target.swap32();
  return file;
}

/** Throws ConvsweepError CORRUPT with what is wrong. */
export function decodeSafetensors(file: Uint8Array): LaneWeights {
  const refuse = (expected: string, cause?: unknown): ConvsweepError =>
    new ConvsweepError("CORRUPT", `the weights are no safetensors file of float32: expected ${expected}`, { cause });
  if (file.length < 8) throw refuse("8 bytes of header length");
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const start = 8 + Number(view.getBigUint64(0, true));
  if (start > file.length) throw refuse(`a header of ${start - 8} bytes`);
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(file.subarray(8, start)));
  } catch (cause) {
    throw refuse("a JSON header", cause);
  }
  if (typeof header !== "object" || header === null) throw refuse("a JSON object as header");
  const tensors = Object.entries(header)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, entry]) => ({ name, ...tensorOf(entry, () => refuse(`shape and place of ${name} as F32`)) }))
    .sort((a, b) => a.from - b.from);
  let at = 0;
  for (const { name, shape, from, to } of tensors) {
    if (from !== at || to - from !== 4 * shape.reduce((product, size) => product * size, 1)) {
      throw refuse(`${name} at byte ${at}, as long as its shape says`);
    }
    at = to;
  }
  if (start + at !== file.length) throw refuse(`${start + at} bytes in all, found ${file.length}`);
  const data = Float32Array.from({ length: at / 4 }, (_, i) => view.getFloat32(start + 4 * i, true));
  return { tensors: tensors.map(({ name, shape }) => ({ name, shape })), data };
}

function tensorOf(
  entry: unknown,
  refuse: () => ConvsweepError,
): { readonly shape: readonly number[]; readonly from: number; readonly to: number } {
  const { dtype, shape, data_offsets } = (entry ?? {}) as Readonly<Record<string, unknown>>;
  const whole = (value: unknown): value is number[] =>
    Array.isArray(value) && value.every((one) => Number.isSafeInteger(one) && one >= 0);
  if (dtype !== "F32" || !whole(shape) || !whole(data_offsets)) throw refuse();
  const [from, to] = data_offsets;
  if (from === undefined || to === undefined) throw refuse();
  return { shape, from, to };
}

/** The JSON beside the weights: all that is needed to label an image with them. */
export function describeWeights(
  { recipe, parameters, seed }: WeightsOf,
  { scale, shift }: Normalisation,
  weightsHash: string,
): Uint8Array {
  const read = JSON.parse(recipe) as Recipe;
  const content = {
    recipe: read,
    parameters: JSON.parse(parameters),
    seed,
    weights_hash: weightsHash,
    class_names: classNamesOf(read.dataset),
    // Of channel c: byte * scale[c] + shift[c]. Decimals of a float32 that read back as the same.
    normalisation: { scale: [...scale], shift: [...shift] },
  };
  return Buffer.from(`${JSON.stringify(content, null, 2)}\n`);
}
