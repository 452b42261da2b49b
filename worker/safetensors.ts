/**
 * A lane's weights as a safetensors file, with a JSON file beside it that says what they are of.
 *
 * Guarantees: the same weights give the same bytes; tensors have the engine's names (native/types.ts) and PyTorch's layouts.
 * Format: https://github.com/huggingface/safetensors (8 bytes of header length, JSON, then little-endian values).
 */
import { endianness } from "node:os";
import type { LaneWeights } from "./engine.js";

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

/** The JSON beside the weights. */
export function describeWeights({ recipe, parameters, seed }: WeightsOf, weightsHash: string): Uint8Array {
  const content = { recipe: JSON.parse(recipe), parameters: JSON.parse(parameters), seed, weights_hash: weightsHash };
  return Buffer.from(`${JSON.stringify(content, null, 2)}\n`);
}
