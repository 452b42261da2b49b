import type { Database } from "better-sqlite3";

interface Asked {
  readonly sweeps: number;
  readonly runCap: number;
  readonly epochs: number;
  readonly acked: ReadonlySet<string>;
}

export function readRecord(
  db: Database,
  asked: Asked,
): {
  readonly problems: readonly string[];
  readonly trials: Readonly<Record<string, number>>;
  readonly attempts: Readonly<Record<string, number>>;
};
