/** How much a worker keeps and how far it goes ahead, unless a test says otherwise. */
import { LIMITS } from "../proto/contract.js";
import type { AgentLimits } from "./agent-messages.js";

export const AGENT_LIMITS: AgentLimits = {
  window: LIMITS.linkWindow,
  outbox: 50_000,
  spoolBytes: 64 << 20,
  flushMillis: 5_000,
};
