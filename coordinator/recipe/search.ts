/** How the space is searched: the method, whether it can search this space, and how many trials that makes. */
import { LIMITS } from "../../proto/contract.js";
import { gridSize } from "../core/samplers/grid.js";
import { SAMPLERS } from "../core/samplers/index.js";
import type { Space } from "../core/types.js";
import { METHODS, OTHER_METHODS } from "./keys.js";
import type { Position } from "./reader.js";
import type { TopLevel } from "./top-level.js";

export function compileSearch(top: TopLevel, space: Space): { readonly method: string; readonly runCap: number } {
  const { reader } = top;
  const node = top.need("method");
  if (node.kind === "scalar" && OTHER_METHODS.includes(String(node.value))) {
    throw reader.unexpected(node, "method", `one of ${METHODS.join(", ")}`, "; this version has no other");
  }
  const method = reader.choice(node, "method", METHODS);
  const refused = SAMPLERS.get(method)?.check(space, {}) ?? null;
  if (refused !== null) {
    const at = positionOf(top, refused.path ?? "") ?? node.at;
    const details = `expected ${refused.expected}, found ${refused.found}`;
    throw reader.error(
      at,
      refused.path ?? "",
      `${refused.message}; ${details}`,
      refused.expected ?? "",
      refused.found ?? "",
    );
  }
  const cap = top.node("run_cap");
  const given = cap === undefined ? null : reader.whole(cap, "run_cap", { min: 1, max: LIMITS.trialsPerSweep });
  if (method === "random") {
    if (given !== null) return { method, runCap: given };
    throw reader.error(
      top.root.at,
      "run_cap",
      "random search goes on for ever without it: say how many trials",
      "a whole number >= 1",
      "no such key",
    );
  }
  const size = gridSize(space);
  if (given === null && size > LIMITS.trialsPerSweep) {
    throw reader.error(
      node.at,
      "method",
      `the grid has ${size} points; set run_cap (at most ${LIMITS.trialsPerSweep})`,
      "",
      String(size),
    );
  }
  return { method, runCap: Math.min(given ?? size, size) };
}

function positionOf(top: TopLevel, path: string): Position | undefined {
  const name = path.replace(/^parameters\./, "");
  const parameters = top.node("parameters");
  return parameters?.kind === "map" ? parameters.entries.find((entry) => entry.key === name)?.keyAt : undefined;
}
