/**
 * The end of a process by a fault of its own that nobody caught: an error out of a callback, a promise nobody waits for.
 *
 * Guarantees: it is said once, with where it came from, and the process ends with exit code 70 (EX_SOFTWARE); it never goes
 * on in a state that nobody knows. What was acknowledged is on disk: the next start is the way back. Not here: errors that
 * a command answers with (they are caught), the engine's threads.
 */
const CRASH_EXIT = 70;

type LastWords = (error: Error) => void;

let words: LastWords = (error) => void process.stderr.write(`convsweep: ${error.stack ?? error.message}\n`);

/** For the first file of a program. Promises that nobody waits for come here too. */
export function endOnCrash(): void {
  process.on("uncaughtException", (error: Error) => {
    try {
      words(error);
    } finally {
      process.exit(CRASH_EXIT);
    }
  });
}

/** Says it otherwise, such as in a log. */
export function setLastWords(others: LastWords): void {
  words = others;
}
