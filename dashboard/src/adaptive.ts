/**
 * Paces work that grows with the number of trials, so that a fast feed never makes the page slow.
 */

/** Runs work at most a tenth of the time: at once when its key changes, else after nine times what it last took. */
export function adaptive(): (work: () => void, key: string) => void {
  let last = { key: "", end: 0, cost: 0 };
  let waiting: (() => void) | null = null;
  const run = (work: () => void, key: string) => {
    const start = performance.now();
    work();
    const end = performance.now();
    last = { key, end, cost: end - start };
  };
  return (work, key) => {
    const pause = last.end + 9 * last.cost - performance.now();
    if (key === "at once" || key !== last.key || pause <= 4) {
      waiting = null;
      run(work, key);
      return;
    }
    if (waiting === null) {
      setTimeout(() => {
        const newest = waiting;
        waiting = null;
        if (newest !== null) run(newest, last.key);
      }, pause);
    }
    waiting = work;
  };
}
