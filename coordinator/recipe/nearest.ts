/**
 * The known word nearest to a mistyped one: restricted Damerau-Levenshtein distance (a swap of neighbours costs one),
 * case and `-`/`_` aside; or the only one that begins with it. Answers only if it is near enough to be meant. Not here:
 * wording.
 */

/** Insertions, deletions, replacements and swaps of neighbours that turn one text into the other. */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    before = previous;
    previous = row;
  }
  return previous[b.length] ?? 0;
}

const plain = (word: string): string => word.toLowerCase().replaceAll("-", "_");

/** `null` if nothing is within a third of the word's length (at least 1, at most 3 edits). Ties go to the first. */
export function nearest(word: string, known: Iterable<string>): string | null {
  if (word.length > 100) return null;
  const limit = Math.min(3, Math.max(1, Math.floor(word.length / 3)));
  let best: string | null = null;
  let least = limit + 1;
  for (const candidate of known) {
    const distance = editDistance(plain(word), plain(candidate));
    if (distance < least) {
      best = candidate;
      least = distance;
    }
  }
  return best ?? onlyBeginning(plain(word), known);
}

/** `max` for `maximize`: at least three letters, and no other word begins so. */
function onlyBeginning(word: string, known: Iterable<string>): string | null {
  if (word.length < 3) return null;
  const longer = [...known].filter((candidate) => plain(candidate).startsWith(word));
  return longer.length === 1 ? (longer[0] ?? null) : null;
}
