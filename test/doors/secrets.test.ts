/** E14, G4 and G6 of the fault plan: what is secret is nowhere but in its own file; a greedy query is ended. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { tokenFile } from "../../coordinator/shell/credentials.js";
import { runQuery } from "../../coordinator/store/query.js";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import { Secret } from "../../proto/secret.js";
import { rejection, scratch, start } from "../shell/fixture.js";

describe("E14: a secret", () => {
  it("shows itself to nobody but who asks for it", () => {
    const secret = new Secret("marker");
    const shown = [String(secret), `${secret}`, JSON.stringify({ secret }), inspect({ secret }), inspect(secret)];
    for (const text of [...shown, Object.values(secret).join()]) expect(text).not.toContain("marker");
    expect(secret.expose()).toBe("marker");
  });

  it("is in no file of the store but its own, no backup, no log line, no answer", async () => {
    const storeDir = scratch();
    const said: string[] = [];
    const { coordinator, admin } = await start({
      openStore: () => openSqliteStore(storeDir, { create: true }),
      options: { storeDir },
      log: (...line) => void said.push(JSON.stringify(line)),
    });
    const roles = ["admin", "worker"] as const;
    const markers = roles.map((role) => readFileSync(tokenFile(storeDir, role), "utf8").trim());
    const bearer = { authorization: `Bearer ${markers[0]}` };
    await admin.submitSweep("f", "{}");
    said.push((await rejection(admin.stopTrial("1/99"))).message);
    const page = `http://${coordinator.httpAddress}`;
    for (const path of ["/metrics", "/api/trials/9/9", "/api/curves?sweep=x"]) {
      said.push(await (await fetch(page + path, { headers: bearer })).text());
    }
    said.push(await (await fetch(`${page}/metrics`, { headers: { authorization: `Bearer ${markers[1]}` } })).text());
    await admin.backup(join(storeDir, "copy.db"));
    said.push(JSON.stringify(process.argv), JSON.stringify(await admin.getStatus()));
    await coordinator.close();
    const secrets = markers.map((marker) => marker.split("_").slice(3).join("_"));
    expect(secrets.every((secret) => secret.length === 43)).toBe(true);
    let looked = 0;
    for (const name of readdirSync(storeDir, { recursive: true, encoding: "utf8" })) {
      const file = join(storeDir, name);
      if (!statSync(file).isFile() || name === "admin.token" || name === "worker.token") continue;
      looked += 1;
      const bytes = readFileSync(file, "latin1");
      for (const secret of secrets) expect(bytes.includes(secret), name).toBe(false);
    }
    expect(looked).toBeGreaterThanOrEqual(3);
    for (const secret of secrets) expect(said.join("\n")).not.toContain(secret);
  });
});

describe("a query", () => {
  it("G6: finds no token and no certificate: they are in another file", async () => {
    const storeDir = scratch();
    const { coordinator } = await start({
      openStore: () => openSqliteStore(storeDir, { create: true }),
      options: { storeDir },
    });
    for (const table of ["tokens", "certificates", "main.tokens", "auth.tokens"]) {
      const refused = await rejection(runQuery(storeDir, `SELECT * FROM ${table}`, []));
      expect(["BAD_INPUT", "FORBIDDEN"]).toContain(refused.code);
    }
    await coordinator.close();
  });

  it("G4: that eats memory is ended, and the next one works", async () => {
    const storeDir = scratch();
    openSqliteStore(storeDir, { create: true }).close();
    const greedy =
      "WITH RECURSIVE t(x, n) AS (SELECT printf('%.*c', 60000000, 'x'), 1 UNION ALL SELECT x || n, n + 1 FROM t LIMIT 40) SELECT count(*), group_concat(x) FROM t";
    const refused = await rejection(runQuery(storeDir, greedy, []));
    expect(["TOO_LARGE", "TIMEOUT", "UNAVAILABLE"]).toContain(refused.code);
    expect((await runQuery(storeDir, "SELECT 1 AS one", [])).rows).toEqual([[1]]);
  });
});
