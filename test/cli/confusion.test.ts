/** The confusion matrix in a terminal: the table by eye, and that nothing breaks its width. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { confusionLines } from "../../coordinator/cli/confusion.js";
import { columnsOf, padTo, shorten } from "../../coordinator/cli/width.js";
import type { Confusion } from "../../proto/confusion.js";

const confusion = (classes: readonly string[], counts: readonly (readonly number[])[]): Confusion => ({
  version: 1,
  of: "test",
  classes,
  counts,
});

const SMALL = [
  [11, 0, 2],
  [2, 13, 0],
  [1, 2, 1200],
];

describe("a confusion matrix in a terminal", () => {
  it("is a table with the pairs confused most below", () => {
    expect(confusionLines(confusion(["cat", "dog", "automobile"], SMALL), 80)).toEqual([
      "1224 of 1231 test images right, 99.43 %",
      "",
      "rows: predicted, columns: actual",
      "            cat  dog  automobile",
      "cat          11    .           2",
      "dog           2   13           .",
      "automobile    1    2        1200",
      "",
      "confused most",
      "     2  automobile taken for cat",
      "     2  cat taken for dog",
      "     2  dog taken for automobile",
      "     1  cat taken for automobile",
    ]);
  });

  it("has numbers above the columns where the names are too long, and what fits of them beside the rows", () => {
    const names = [
      "Pomeranian spitz, small and white",
      "Great dane",
      "犬と猫と鳥の写真で、とても長い名前であるもののひとつです",
    ];
    const lines = confusionLines(confusion(names, SMALL), 60);
    expect(lines.slice(2, 7)).toEqual([
      "rows: predicted, columns: actual, by the row's number",
      "                                                0   1     2",
      "0 Pomeranian spitz, small and white            11   .     2",
      "1 Great dane                                    2  13     .",
      "2 犬と猫と鳥の写真で、とても長い名前であるも…   1   2  1200",
    ]);
    expect(lines.at(-2)).toBe("     2  Great dane taken for 犬と猫と鳥の写真で、とても長い…");
  });

  it("is left out, with a word, where no terminal would hold it", () => {
    const classes = Array.from({ length: 100 }, (_, i) => String(i));
    const counts = classes.map((_, i) => classes.map((__, j) => (i === 4 && j === 9 ? 7 : i === j ? 1 : 0)));
    expect(confusionLines(confusion(classes, counts), 80)).toEqual([
      "100 of 107 test images right, 93.46 %",
      "",
      "a table of 100 classes is wider than this",
      "",
      "confused most",
      "     7  9 taken for 4",
    ]);
  });

  it("prints nothing that a terminal would obey", () => {
    const lines = confusionLines(confusion(["\u001b[2Jcat", "do\ng"], [SMALL[0] ?? [], SMALL[1] ?? []]), 80);
    expect(lines.join("")).not.toMatch(/\p{Cc}/u);
  });

  it("keeps to the width, one row a class, each row told from the others, whatever the names", () => {
    const name = fc.oneof(
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 80 }),
      fc.string({ minLength: 1, maxLength: 80 }),
      fc.constantFrom("n02123045 tabby, tabby cat", "n02123159 tiger cat", "n02123394 Persian cat"),
    );
    const drawn = fc
      .tuple(fc.array(name, { minLength: 2, maxLength: 30 }), fc.integer({ min: 60, max: 200 }), fc.integer())
      .map(([names, width, seed]) => {
        const counts = names.map((_, i) => names.map((__, j) => Math.abs((seed + i * 7 + j * 13) % 10_000)));
        return { names, width, counts };
      });
    fc.assert(
      fc.property(drawn, ({ names, width, counts }) => {
        const lines = confusionLines(confusion(names, counts), width);
        for (const line of lines) expect(columnsOf(line)).toBeLessThanOrEqual(width);
        if (!lines[2]?.startsWith("rows")) return;
        const rows = lines.slice(4, 4 + names.length);
        expect(rows.every((row) => columnsOf(row) === columnsOf(lines[3] ?? ""))).toBe(true);
        if (lines[2].endsWith("number")) {
          expect(rows.map((row) => Number.parseInt(row, 10))).toEqual(names.map((_, i) => i));
        }
      }),
    );
  });
});

describe("columns of a terminal", () => {
  it.each([
    ["cat", 3],
    ["Käfer", 5],
    ["Ka\u0308fer", 5],
    ["犬", 2],
    ["ｃａｔ", 6],
    ["🐈 cat", 6],
    ["한국어", 6],
  ])("%s takes %i", (text, columns) => expect(columnsOf(text)).toBe(columns));

  it("are filled and kept to", () => {
    expect(padTo("犬", 4, "end")).toBe("犬  ");
    expect(padTo("犬", 4, "start")).toBe("  犬");
    expect(shorten("犬と猫", 5)).toBe("犬と…");
    expect(shorten("tabby cat", 7)).toBe("tabby…");
    expect(shorten("tabby cat", 9)).toBe("tabby cat");
  });
});
