/**
 * How many columns of a terminal a text takes, and texts brought to a number of them. Pure.
 *
 * East Asian wide characters and pictures take two columns, marks that join the character before them none (Unicode Standard
 * Annex 11, as terminals have it); control characters are taken for one column and are not the caller's to print.
 */

const PLAIN = /^[\u0020-\u007e]*$/;
const WIDE =
  /^(?:\p{Script=Han}|\p{Script=Hiragana}|\p{Script=Katakana}|\p{Script=Hangul}|\p{Emoji_Presentation}|[\u3000-\u303e\uff01-\uff60\uffe0-\uffe6])/u;
const JOINED = /^(?:\p{Mn}|\p{Me}|\p{Cf}|\p{Variation_Selector})/u;

export function columnsOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let columns = 0;
  for (const character of text) columns += JOINED.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return columns;
}

/** As it is where it fits, else its beginning and an ellipsis: at most `most` columns, at least the ellipsis. */
export function shorten(text: string, most: number): string {
  if (columnsOf(text) <= most) return text;
  let kept = "";
  for (const character of text) {
    if (columnsOf(kept + character) > most - 1) break;
    kept += character;
  }
  return `${kept.trimEnd()}…`;
}

export function padTo(text: string, columns: number, side: "start" | "end"): string {
  const blanks = " ".repeat(Math.max(0, columns - columnsOf(text)));
  return side === "end" ? text + blanks : blanks + text;
}
