/**
 * A headless Chromium for tests of the page, and the page built into a folder of its own. Not here: tests.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type BrowserContext, chromium } from "playwright-core";
import { build } from "vite";

const CANDIDATES = [
  process.env["CONVSWEEP_CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/** `null` where there is none. */
export const chromiumPath: string | null =
  CANDIDATES.find((path): path is string => path !== undefined && path !== "" && existsSync(path)) ?? null;

export interface Looks {
  readonly width: number;
  readonly height: number;
  readonly scheme: "light" | "dark";
}

export async function openBrowser(looks: Looks): Promise<{ readonly context: BrowserContext; close(): Promise<void> }> {
  if (chromiumPath === null) throw new Error("no Chromium");
  const profile = mkdtempSync(join(tmpdir(), "convsweep-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chromiumPath,
    headless: true,
    viewport: { width: looks.width, height: looks.height },
    colorScheme: looks.scheme,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  return {
    context,
    async close() {
      await context.close();
      rmSync(profile, { recursive: true, force: true });
    },
  };
}

export async function buildPage(): Promise<{ readonly directory: string; remove(): void }> {
  const directory = mkdtempSync(join(tmpdir(), "convsweep-page-"));
  await build({
    configFile: resolve(import.meta.dirname, "../../dashboard/vite.config.ts"),
    logLevel: "error",
    build: { outDir: directory },
  });
  return { directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}
