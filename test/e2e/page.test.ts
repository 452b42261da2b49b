/** The page of a running program in a real browser: what it shows while a sweep runs can be found by a query. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, openBrowser } from "../dashboard/browser.js";
import { Playground, smallSweep } from "./program.js";

if (chromiumPath === null) process.stderr.write("SKIPPED test/e2e/page.test.ts: no Chromium on this machine\n");

describe.skipIf(chromiumPath === null)("the live page", () => {
  const playground = new Playground();
  beforeAll(() => Playground.requireBuild());
  afterAll(() => playground.close());

  it("opens by its one-time link, follows the sweep live, and agrees with the record", async () => {
    const up = playground.start("up", "--workers", "1", "--listen", "127.0.0.1:0", "--page", "127.0.0.1:0", "--json");
    const { page: address } = await up.line((line) => line["event"] === "up");
    const { context, close } = await openBrowser({ width: 1440, height: 900, scheme: "light" });
    try {
      const page = await context.newPage();
      const problems: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error" || message.type() === "warning") problems.push(message.text());
      });
      page.on("pageerror", (error) => problems.push(error.message));
      await page.goto(String(address));
      await page.getByText("live", { exact: true }).waitFor();

      const run = await playground.run("run", playground.file("s.yaml", smallSweep({ run_cap: 5 })), "--json");
      expect(run.code).toBe(0);
      await page.getByText("completed", { exact: true }).first().waitFor();

      const rows = await playground.query("SELECT id, best_value FROM trials ORDER BY best_value DESC, number");
      await expect.poll(() => page.locator('[role="gridcell"]').count()).toBeGreaterThan(0);
      const shown = await page.locator('[role="rowgroup"] [role="row"]').allInnerTexts();
      expect(shown).toHaveLength(5);
      for (const [rank, row] of rows.entries()) {
        expect(
          shown.some((text) => text.includes(String(row["id"])) && text.includes(Number(row["best_value"]).toFixed(4))),
          `rank ${rank}: ${row["id"]}`,
        ).toBe(true);
      }
      expect(problems).toEqual([]);

      // The link opened the page once; a second visitor with it is turned away.
      const again = await fetch(String(address), { redirect: "manual" });
      expect(again.status).toBe(401);

      // Every socket is opened with a ticket of its own.
      const upgrades: string[] = [];
      page.on("websocket", (socket) => upgrades.push(socket.url()));
      await page.reload();
      await page.getByText("live", { exact: true }).waitFor();
      await page.reload();
      await page.getByText("live", { exact: true }).waitFor();
      expect(upgrades).toHaveLength(2);
      for (const url of upgrades) expect(url).toMatch(/^ws:\/\/127\.0\.0\.1:[0-9]+\/feed\?ticket=[\w-]{43}$/);
      expect(new Set(upgrades).size).toBe(2);
      expect(problems).toEqual([]);

      // Signing out leaves nothing on the screen, and the cookie opens nothing any more.
      const [cookie] = await context.cookies();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByText("This page needs a login link.").waitFor();
      expect(await context.cookies()).toEqual([]);
      const { origin } = new URL(String(address));
      const kept = await fetch(origin, { headers: { cookie: `${cookie?.name}=${cookie?.value}` } });
      expect(kept.status).toBe(401);
    } finally {
      await close();
    }
  });
});
