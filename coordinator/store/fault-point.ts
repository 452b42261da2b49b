/**
 * Places where a test may have the process killed: `FAULT=NAME:N` ends it with SIGKILL the Nth time it comes by NAME.
 *
 * Guarantees: does nothing unless NODE_ENV is `test` and FAULT is set when the process starts.
 */

export type FaultPoint =
  | "beforeBegin"
  | "afterInsert"
  | "beforeCommit"
  | "afterCommit"
  | "beforeAck"
  | "afterAck"
  | "beforeAssign"
  | "afterAssign"
  | "midCheckpointCopy"
  | "midMigration"
  | "midBackup";

const [wanted, count] = process.env["NODE_ENV"] === "test" ? (process.env["FAULT"] ?? "").split(":") : [];
let left = Number(count ?? 1);

export function faultPoint(name: FaultPoint): void {
  if (name !== wanted) return;
  left -= 1;
  if (left === 0) process.kill(process.pid, "SIGKILL");
}
