/** The comparison of CUDA kernels with their budget (native/src/backend/cuda/budget.cmake), on words of ptxas made up here. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

const script = fileURLToPath(new URL("../src/backend/cuda/budget.cmake", import.meta.url));
const heading = "# kernel | registers | shared bytes | spill bytes, the most over all architectures; nvcc 13.0";

/** Two architectures of `void convsweep::cuda::sum_kernel<4>(int)`. */
const said = ["75", "90"]
  .map(
    (
      architecture,
      index,
    ) => `ptxas info    : Compiling entry function '_ZN9convsweep4cuda10sum_kernelILi4EEEvi' for 'sm_${architecture}'
ptxas info    : Function properties for _ZN9convsweep4cuda10sum_kernelILi4EEEvi
    0 bytes stack frame, ${8 * index} bytes spill stores, 4 bytes spill loads
ptxas info    : Used ${40 - index} registers, used 1 barriers, 64 bytes smem, 400 bytes cmem[0]
`,
  )
  .join("");

describe("budget of CUDA kernels", () => {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "budget-"));
    writeFileSync(join(folder, "a.usage"), said);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function compare(rows: readonly string[], release = "13.0", ...more: readonly string[]) {
    writeFileSync(join(folder, "budget.txt"), `${[heading, ...rows].join("\n")}\n`);
    const ran = spawnSync(
      "cmake",
      [
        `-DUSAGE=${join(folder, "a.usage")}`,
        `-DBUDGET=${join(folder, "budget.txt")}`,
        `-DRELEASE=${release}`,
        `-DSTAMP=${join(folder, "stamp")}`,
        ...more,
        "-P",
        script,
      ],
      { encoding: "utf8" },
    );
    // CMake breaks lines of its messages where it likes.
    return { status: ran.status, text: `${ran.stdout}${ran.stderr}`.replace(/\s+/g, " ") };
  }

  it("takes the most over all architectures", () => {
    expect(compare([], "13.0", "-DUPDATE=on")).toMatchObject({ status: 0 });
    expect(readFileSync(join(folder, "budget.txt"), "utf8")).toBe(`${heading}\nsum_kernel<4> | 40 | 64 | 12\n`);
    expect(compare(["sum_kernel<4> | 40 | 64 | 12"])).toEqual({ status: 0, text: "" });
  });

  it.each([
    ["sum_kernel<4> | 39 | 64 | 12", "sum_kernel<4>: registers: expected at most 39, found 40"],
    ["sum_kernel<4> | 40 | 63 | 12", "sum_kernel<4>: shared: expected at most 63, found 64"],
    ["sum_kernel<4> | 40 | 64 | 11", "sum_kernel<4>: spills: expected at most 11, found 12"],
    [
      "sum_kernel<5> | 40 | 64 | 12",
      "sum_kernel<5>: has a line, but there is no such kernel sum_kernel<4>: has no line",
    ],
    ["sum_kernel<4>: 40", "expected 'kernel | registers | shared bytes | spill bytes', found 'sum_kernel<4>: 40'"],
  ])("fails with %s", (row, words) => {
    const found = compare([row]);
    expect(found.status).toBe(1);
    expect(found.text).toContain(words);
  });

  it("only says so where another release of nvcc compiled", () => {
    const found = compare(["sum_kernel<4> | 39 | 64 | 12"], "12.4");
    expect(found.status).toBe(0);
    expect(found.text).toContain("registers: expected at most 39, found 40");
  });
});
