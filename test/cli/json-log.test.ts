/** The structured log: stable names, levels, and no secret whatever it is given. */
import { describe, expect, it } from "vitest";
import { blackedOut, openJsonLog } from "../../coordinator/cli/json-log.js";

function logged(level: "debug" | "info" | "warn" | "error") {
  const lines: string[] = [];
  return { lines, log: openJsonLog(level, (line) => void lines.push(line)) };
}

const TOKEN = `cvs_admin_${"Ab3-_".repeat(8)}xyz`;

describe("the structured log", () => {
  it("writes one object a line with level, time, event and words", () => {
    const { lines, log } = logged("info");
    log("warn", "link-ended", "a Link was ended: seq", { worker: "w1", token: 17 });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/\}\n$/);
    expect(JSON.parse(lines[0] ?? "")).toEqual({
      level: "warn",
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      pid: process.pid,
      event: "link-ended",
      worker: "w1",
      token: 17,
      msg: "a Link was ended: seq",
    });
  });

  it.each([
    ["debug", 4],
    ["info", 3],
    ["warn", 2],
    ["error", 1],
  ] as const)("--log-level %s writes %i of the four levels", (level, count) => {
    const { lines, log } = logged(level);
    for (const at of ["debug", "info", "warn", "error"] as const) log(at, "coordinator-up", "x");
    expect(lines).toHaveLength(count);
  });

  it("blacks out secrets in words and fields, at any depth", () => {
    const { lines, log } = logged("debug");
    log("info", "link-hello", `with ${TOKEN} and http://h/login?otp=${"q".repeat(43)}&x=1`, {
      authorization: `Bearer ${TOKEN}`,
      deep: { list: [{ cookie: "a=b", note: `said ${TOKEN}` }] },
      worker_token: "abc",
      header: `authorization: Bearer ${"z".repeat(30)}`,
    });
    const text = lines.join("");
    for (const secret of [TOKEN, TOKEN.slice(10), "q".repeat(43), "a=b", "abc", "z".repeat(30)]) {
      expect(text).not.toContain(secret);
    }
    // And what is no secret stays.
    expect(text).toContain("otp=…&x=1");
    expect(text).toContain("said cvs_admin_…");
  });

  it("leaves plain words alone", () => {
    for (const text of ["tokens raised to 17", "a cvs_file", "the bearer of news"]) {
      expect(blackedOut(text)).toBe(text);
    }
  });

  it("takes an event's own name over a field called event", () => {
    const { lines, log } = logged("debug");
    log("info", "link-hello", "x", { event: "other" });
    expect(JSON.parse(lines[0] ?? "").event).toBe("link-hello");
  });
});
