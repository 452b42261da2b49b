/** A safetensors file read back by the format's description: every tensor's values stand where its header says. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, it } from "vitest";
import { decodeSafetensors, describeWeights, encodeSafetensors } from "../../worker/safetensors.js";

type Header = Readonly<Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>>;

const tensor = fc.record({
  name: fc.stringMatching(/^[0-9]{1,3}\.[a-z0-9_é]{1,8}\.[a-z_]{1,8}$/),
  shape: fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 4 }),
});

it("holds every tensor where its header says", () => {
  fc.assert(
    fc.property(fc.uniqueArray(tensor, { selector: ({ name }) => name, maxLength: 6 }), (tensors) => {
      const sizes = tensors.map(({ shape }) => shape.reduce((product, size) => product * size, 1));
      const data = Float32Array.from({ length: sizes.reduce((sum, size) => sum + size, 0) }, (_, i) => i / 7);
      const file = encodeSafetensors({ tensors, data });
      const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
      const start = 8 + Number(view.getBigUint64(0, true));
      expect(start % 8).toBe(0);
      const header = JSON.parse(new TextDecoder().decode(file.subarray(8, start))) as Header;
      let next = 0;
      for (const [i, { name, shape }] of tensors.entries()) {
        const { dtype, shape: found, data_offsets: offsets } = header[name] ?? { data_offsets: [0, 0] };
        expect([dtype, found]).toEqual(["F32", shape]);
        expect(offsets[1] - offsets[0]).toBe(4 * (sizes[i] ?? 0));
        for (let at = offsets[0]; at < offsets[1]; at += 4) {
          expect(view.getFloat32(start + at, true)).toBe(data[next]);
          next += 1;
        }
      }
      expect([next, file.length]).toEqual([data.length, start + 4 * data.length]);
      expect(decodeSafetensors(file)).toEqual({ tensors, data });
      if (file.length > 8) expect(() => decodeSafetensors(file.subarray(0, file.length - 1))).toThrow("safetensors");
    }),
  );
});

it("is described by the recipe, the parameters, the seed, the weights' digest, names of classes and normalisation", () => {
  const weightsHash = createHash("sha256").digest("hex");
  const norm = { scale: Float32Array.of(0.1), shift: Float32Array.of(-2) };
  const of = { recipe: '{"dataset":{"name":"mine","classes":2}}', parameters: '{"l2":0.5}', seed: "00000000000000ff" };
  expect(JSON.parse(new TextDecoder().decode(describeWeights(of, norm, weightsHash)))).toEqual({
    recipe: { dataset: { name: "mine", classes: 2 } },
    parameters: { l2: 0.5 },
    seed: "00000000000000ff",
    weights_hash: weightsHash,
    class_names: ["0", "1"],
    // What a float32 of 0.1 is, to the last digit.
    normalisation: { scale: [0.10000000149011612], shift: [-2] },
  });
});
