/**
 * A confusion matrix as a terminal shows it: the table where it fits, and the pairs confused most.
 *
 * Guarantees: no line takes more than `width` columns, however long the classes' names, as long as `width` is 60 or more; every
 * row can be told from the others. Names that do not fit above their columns stand beside the rows, with a number that stands
 * above the column; a table that does not fit even so is left out, and that is said. Characters that a terminal would obey are
 * not printed. Pure.
 */
import { type ConfusedPair, type Confusion, tallyOf, worstPairs } from "../../proto/confusion.js";
import { columnsOf, padTo, shorten } from "./width.js";

const PAIRS = 10;
const GAP = "  ";
/** A name above a column is worth so many columns at most. */
const HEAD = 10;
/** Fewer columns of a row's name do not tell anybody what it is. */
const LEAST_NAME = 6;
/** Where nobody says how wide the terminal is. */
const DEFAULT_WIDTH = 100;

export function confusionLines(confusion: Confusion, width: number | null): string[] {
  const most = width ?? DEFAULT_WIDTH;
  const { images, right } = tallyOf(confusion);
  const names = confusion.classes.map((name) => name.replace(/\p{Cc}/gu, " "));
  const pairs = worstPairs(confusion, PAIRS);
  return [
    `${right} of ${images} ${confusion.of} images right${images === 0 ? "" : `, ${((100 * right) / images).toFixed(2)} %`}`,
    "",
    ...(table(confusion, names, most) ?? [shorten(`a table of ${names.length} classes is wider than this`, most)]),
    ...(pairs.length === 0 ? [] : ["", "confused most"]),
    ...pairs.map((pair) => pairLine(pair, names, most)),
  ];
}

/** `null`: no table fits. */
function table({ counts }: Confusion, names: readonly string[], most: number): readonly string[] | null {
  const cells = counts.map((row) => row.map((count) => (count === 0 ? "." : String(count))));
  const widest = names.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)));
  const named = layOut(cells, names, names, widest);
  const fits = names.every((name) => columnsOf(name) <= HEAD) && named.every((line) => columnsOf(line) <= most);
  if (fits) return ["rows: predicted, columns: actual", ...named];
  // Numbers above the columns; beside the rows the same number and as much of the name as there is room for.
  const numbers = names.map((_, i) => String(i));
  const digits = String(names.length - 1).length;
  const taken = numbers.reduce((sum, number, i) => sum + GAP.length + Math.max(number.length, widest[i] ?? 0), 0);
  const room = most - taken - digits - 1;
  if (room < LEAST_NAME) return null;
  const heads = names.map((name, i) => `${(numbers[i] ?? "").padStart(digits)} ${shorten(name, room)}`);
  return [
    shorten("rows: predicted, columns: actual, by the row's number", most),
    ...layOut(cells, numbers, heads, widest),
  ];
}

function layOut(
  cells: readonly (readonly string[])[],
  columns: readonly string[],
  rows: readonly string[],
  widest: readonly number[],
): readonly string[] {
  const first = Math.max(...rows.map(columnsOf));
  const widths = columns.map((name, i) => Math.max(columnsOf(name), widest[i] ?? 0));
  const line = (head: string, row: readonly string[]): string =>
    [padTo(head, first, "end"), ...row.map((cell, i) => padTo(cell, widths[i] ?? 0, "start"))].join(GAP);
  return [line("", columns), ...cells.map((row, i) => line(rows[i] ?? "", row))];
}

function pairLine({ count, actual, predicted }: ConfusedPair, names: readonly string[], most: number): string {
  const start = `${String(count).padStart(6)}  `;
  const between = " taken for ";
  const [from, to] = [names[actual] ?? "", names[predicted] ?? ""];
  const room = most - start.length - between.length;
  // The shorter name leaves the longer one its room.
  const half = Math.floor(room / 2);
  const first = shorten(from, Math.max(half, room - columnsOf(to)));
  return `${start}${first}${between}${shorten(to, room - columnsOf(first))}`;
}
