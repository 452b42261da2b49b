/**
 * How long to wait before the next try: full jitter between the least wait and an exponentially growing limit, so that
 * a thousand workers do not come back at the same instant. Pure: the random number is an argument.
 */
import { TIMES } from "../proto/contract.js";

/** Milliseconds before try `failures` + 1; `random` in [0, 1). */
export function reconnectDelay(failures: number, random: number): number {
  const limit = Math.min(TIMES.reconnectMax, TIMES.reconnectMin * 2 ** Math.min(failures, 30));
  return TIMES.reconnectMin + random * (limit - TIMES.reconnectMin);
}
