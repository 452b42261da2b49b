/** matmul and shortestPaths through the TypeScript face: promises, arguments, the event loop. The numbers: test_matrix.cpp. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EngineError, type MatmulOptions, type ShortestPathsOptions } from "../index.js";
import { engine } from "./support.js";

const product = (given: Partial<MatmulOptions> & Pick<MatmulOptions, "a" | "b" | "rows" | "inner" | "columns">) =>
  engine.matmul({ device: "cpu", transposeA: false, transposeB: false, threads: 2, ...given });
const paths = (given: Partial<ShortestPathsOptions> & Pick<ShortestPathsOptions, "vertices" | "weights">) =>
  engine.shortestPaths({ device: "cpu", next: true, threads: 2, ...given });

async function rejection(promise: Promise<unknown>): Promise<EngineError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(EngineError);
  return error as EngineError;
}

describe("matmul", () => {
  it("multiplies whole numbers exactly, transposed or not", async () => {
    const side = fc.integer({ min: 1, max: 40 });
    await fc.assert(
      fc.asyncProperty(
        side,
        side,
        side,
        fc.boolean(),
        fc.boolean(),
        fc.infiniteStream(fc.integer({ min: -8, max: 8 })),
        async (rows, inner, columns, transposeA, transposeB, numbers) => {
          const draw = (count: number) => Float32Array.from({ length: count }, () => numbers.next().value as number);
          const a = draw(rows * inner);
          const b = draw(inner * columns);
          const expected = new Float32Array(rows * columns);
          for (let i = 0; i < rows; i += 1) {
            for (let j = 0; j < columns; j += 1) {
              let sum = 0;
              for (let k = 0; k < inner; k += 1) {
                const left = a[transposeA ? k * rows + i : i * inner + k] ?? Number.NaN;
                sum += left * (b[transposeB ? j * inner + k : k * columns + j] ?? Number.NaN);
              }
              expected[i * columns + j] = sum;
            }
          }
          expect(await product({ a, b, rows, inner, columns, transposeA, transposeB })).toEqual(expected);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("takes copies: the caller's arrays may change at once", async () => {
    const a = new Float32Array([1, 2, 3, 4]);
    const pending = product({ a, b: new Float32Array([1, 0, 0, 1]), rows: 2, inner: 2, columns: 2 });
    a.fill(9);
    expect([...(await pending)]).toEqual([1, 2, 3, 4]);
  });

  it("leaves the calling thread free", async () => {
    const n = 1024;
    const ones = new Float32Array(n * n).fill(1);
    let turns = 0;
    let done = false;
    const pending = product({ a: ones, b: ones, rows: n, inner: n, columns: n, threads: 1 }).finally(() => {
      done = true;
    });
    while (!done) {
      await new Promise((resolve) => setImmediate(resolve));
      turns += 1;
    }
    expect((await pending).every((value) => value === n)).toBe(true);
    expect(turns).toBeGreaterThan(1);
  });

  it.each<[string, object, string]>([
    ["a short matrix", { b: new Float32Array(3) }, "b: expected 4 values, found 3"],
    ["another type", { a: new Float64Array(4) }, "a: expected a Float32Array, found another typed array"],
    ["no rows", { rows: 0 }, "rows: expected integer from 1 to 65536, found 0"],
    ["no threads", { threads: 0 }, "threads: expected integer from 1 to 1024, found 0"],
    ["a flag that is none", { transposeA: 1 }, "transposeA: expected true or false, found 1"],
  ])("refuses %s", async (_, wrong, message) => {
    const good = { a: new Float32Array(4), b: new Float32Array(4), rows: 2, inner: 2, columns: 2 };
    const error = await rejection(product({ ...good, ...wrong } as typeof good));
    expect(error.message).toBe(message);
    expect(error.code).toBe("ENGINE_BAD_ARGUMENT");
  });

  it("says which devices there are when one is not", async () => {
    const good = { a: new Float32Array(1), b: new Float32Array(1), rows: 1, inner: 1, columns: 1 };
    expect((await rejection(product({ ...good, device: "abacus" }))).code).toBe("ENGINE_NO_DEVICE");
  });
});

describe("shortestPaths", () => {
  it("finds the way around, and says where there is none", async () => {
    const none = Number.POSITIVE_INFINITY;
    // 0 -> 1 costs 9 directly, 3 by way of 2; 3 leads nowhere and is reached from nowhere.
    const weights = new Float32Array([0, 9, 1, none, none, 0, none, none, none, 2, 0, none, none, none, none, 0]);
    const { distance, next } = await paths({ vertices: 4, weights });
    expect([...distance.subarray(0, 4)]).toEqual([0, 3, 1, none]);
    expect([...(next ?? new Int32Array()).subarray(0, 4)]).toEqual([0, 2, 2, -1]);
    expect((await paths({ vertices: 4, weights, next: false })).next).toBeNull();
  });

  it("names a vertex on a negative cycle", async () => {
    const error = await rejection(paths({ vertices: 2, weights: new Float32Array([0, 1, -2, 0]) }));
    expect(error.message).toMatch(/^weights: expected no cycle of negative length, found one through vertex [01]$/);
    expect(error.path).toBe("weights");
  });
});
