/** A sweep file of any content costs little and is refused with a message. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileSweep } from "../../coordinator/recipe/compile.js";
import { ConvsweepError } from "../../proto/contract.js";
import { base, refusalOf } from "./right-file.js";

const refused = (text: string): string => {
  const { code, message } = refusalOf(text);
  return `${code} ${message}`;
};

describe("limits of a sweep file", () => {
  it("the file that the others change is right", () => {
    expect(compileSweep(base, "f.yaml").warnings).toEqual([]);
  });

  it("more than 1 MiB", () => {
    expect(refused(`# ${"x".repeat(1 << 20)}`)).toMatch(/^TOO_LARGE f\.yaml: a sweep file has at most 1 MiB/);
  });

  it("nested without end", () => {
    expect(refused("[".repeat(100_000))).toMatch(/^BAD_INPUT f\.yaml:\d+:\d+: /);
    expect(refused(`parameters: ${"[".repeat(70)}${"]".repeat(70)}`)).toMatch(/nested deeper than 64 levels/);
  });

  it("aliases that multiply (billion laughs), in a moment", () => {
    const levels = "abcdefghij".split("");
    const lines = levels.map((name, i) => {
      const inside =
        i === 0
          ? "[x, x, x, x, x, x, x, x, x, x]"
          : `[${Array(10)
              .fill(`*${levels[i - 1]}`)
              .join(", ")}]`;
      return `${name}: &${name} ${inside}`;
    });
    const before = process.cpuUsage();
    expect(refused(lines.join("\n"))).toMatch(/more than (100 aliases|10000 values) in one file/);
    expect(process.cpuUsage(before).user / 1e6).toBeLessThan(1);
  });

  it("an alias inside of itself", () => {
    expect(refused("parameters: &a {x: *a}")).toMatch(/nested deeper|aliases in one file/);
  });

  it("more than 10,000 values", () => {
    expect(refused(`parameters: [${"1,".repeat(10_001)}1]`)).toMatch(/more than 10000 values in one file/);
  });

  it("whatever the text, it compiles or is refused with a place", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        ..."{}[],:-&*!|>'\"#%@`?\n\t ~".split(""),
        "<<: ",
        "parameters",
        "min: ",
        "\n  ",
        "!!binary ",
        "---\n",
      ),
      fc.string({ unit: "binary", maxLength: 4 }),
    );
    const mangled = fc
      .tuple(fc.nat(base.length), fc.nat(20), fc.array(piece, { maxLength: 6 }))
      .map(([at, cut, pieces]) => {
        return base.slice(0, at) + pieces.join("") + base.slice(at + cut);
      });
    fc.assert(
      fc.property(mangled, (text) => {
        try {
          compileSweep(text, "f.yaml");
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ConvsweepError);
          expect((thrown as ConvsweepError).message).toMatch(/^f\.yaml:\d+:\d+: ./);
        }
      }),
      { numRuns: 2_000, seed: 11 },
    );
  });
});
