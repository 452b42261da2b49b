/**
 * How long the page takes to show the leaderboard of a long sweep, in a real Chromium.
 *
 * usage: node test/long/leaderboard.mjs [--trials 100000] [--rounds 5] [--store FOLDER] [--chromium PROGRAM]
 *
 * The store is filled with finished trials. Every round opens a fresh tab of a browser that is logged in; times are the
 * tab's own, from the beginning of the navigation: `first_ms` until the snapshot's first part has arrived, `shown_ms` until
 * the first frame that shows rows, `whole_ms` until one that has all of them. `rank_1` is the trial in the first row, to be compared with the best on record, which is
 * asked of the store by SQL. Prints one JSON line; exit code 1 where they differ.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import Database from "better-sqlite3";
import { chromium } from "playwright-core";
import { fillStore } from "./filled-store.mjs";
import { machineLoad, Site } from "./processes.mjs";

const { values: flags } = parseArgs({
  options: {
    trials: { type: "string", default: "100000" },
    rounds: { type: "string", default: "5" },
    store: { type: "string" },
    chromium: { type: "string", default: process.env.CONVSWEEP_CHROMIUM ?? "/usr/bin/chromium" },
  },
});
if (!existsSync(flags.chromium)) throw new Error(`no Chromium at ${flags.chromium}: name one with --chromium`);

const site = new Site(flags.store);
const profile = mkdtempSync(join(tmpdir(), "convsweep-chromium-"));
let browser = null;
let wrong = false;
try {
  fillStore(site.store, Number(flags.trials), 1);
  const db = new Database(join(site.store, "convsweep.db"), { readonly: true });
  const best = db.prepare("SELECT number FROM base_trials ORDER BY best_value DESC, number LIMIT 1").pluck().get();
  db.close();
  const { page: link } = await site.up();
  browser = await chromium.launchPersistentContext(profile, {
    executablePath: flags.chromium,
    headless: true,
    viewport: { width: 1440, height: 900 },
    args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
  });
  const rounds = [];
  let bytes = 0;
  let cells = [];
  for (let round = 0; round <= Number(flags.rounds); round += 1) {
    const tab = await browser.newPage();
    // Wraps the socket, to note when the snapshot was there.
    await tab.addInitScript(() => {
      const Real = WebSocket;
      window.WebSocket = class extends Real {
        constructor(...args) {
          super(...args);
          this.addEventListener("message", ({ data }) => {
            window.__snapshot ??= { at: performance.now(), bytes: 0 };
            window.__snapshot.bytes += data.length;
          });
        }
      };
    });
    await tab.goto(round === 0 ? link : new URL("/", link).href);
    await tab.waitForFunction(() => document.querySelectorAll(".grid-row").length > 10, null, { polling: "raf" });
    const shown = await tab.evaluate(() => performance.now());
    await tab.waitForFunction(() => document.querySelector(".on-its-way") === null, null, { polling: "raf" });
    const whole = await tab.evaluate(() => performance.now());
    const snapshot = await tab.evaluate(() => window.__snapshot);
    cells = await tab.locator(".grid-row").first().locator("> *").allTextContents();
    // The first tab logs in and fills the browser's caches.
    if (round > 0) {
      rounds.push({
        first_ms: Math.round(snapshot.at),
        shown_ms: Math.round(shown),
        whole_ms: Math.round(whole),
      });
    }
    bytes = snapshot.bytes;
    await tab.close();
  }
  wrong = !cells.includes(`1/${best}`);
  process.stdout.write(
    `${JSON.stringify({
      trials: Number(flags.trials),
      snapshot_mb: Number((bytes / 2 ** 20).toFixed(1)),
      rounds,
      rank_1: cells.slice(0, 4).join(" "),
      best_on_record: `1/${best}`,
      machine_load: machineLoad(),
    })}\n`,
  );
} finally {
  await browser?.close();
  await site.remove();
  rmSync(profile, { recursive: true, force: true });
}
process.exit(wrong ? 1 : 0);
