/**
 * Where the commits of a SQLite write-ahead log end.
 *
 * Format: https://sqlite.org/fileformat2.html#the_write_ahead_log. The file keeps its size when a checkpoint has emptied
 * it and is then written again from its start: frames with other salts than the header's are of before that and mean
 * nothing. Not here: the checksums (it reads what a process wrote and nobody has damaged yet).
 */
const HEADER = 32;
const FRAME_HEADER = 24;

export interface Wal {
  /** Offset of the first byte after each commit, oldest first. */
  readonly ends: readonly number[];
}

export function readWal(bytes: Buffer): Wal {
  const ends: number[] = [];
  if (bytes.length < HEADER) return { ends };
  const frame = FRAME_HEADER + bytes.readUInt32BE(8);
  const salts = bytes.subarray(16, 24);
  for (let at = HEADER; at + frame <= bytes.length; at += frame) {
    if (!bytes.subarray(at + 8, at + 16).equals(salts)) break;
    // The size of the database after it, in the last frame of a commit alone.
    if (bytes.readUInt32BE(at + 4) !== 0) ends.push(at + frame);
  }
  return { ends };
}
