/**
 * The built page, read once into memory.
 *
 * Guarantees: at run time no path of a request ever reaches the file system: names are looked up in a table made at the
 * start. Files with a hash in their name may be kept by browsers for ever, others are asked for again. A page that was
 * not built is said so. Not here: who may have it.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { extname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

export interface StaticFile {
  readonly type: string;
  readonly etag: string;
  readonly cacheControl: string;
  readonly body: Buffer;
  /** `null` where it would not be smaller. */
  readonly gzipped: Buffer | null;
}

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".txt": "text/plain; charset=utf-8",
};

/** What the build names by content: `/assets/index-BxY3k2Qa.js`. */
const HASHED = /^\/assets\/.+[.-][A-Za-z0-9_-]{8,}\.[a-z0-9]+$/;

/** dist/dashboard, seen from the build (dist/coordinator/shell) or from the source. */
export function defaultDashboardDir(): string {
  const here = fileURLToPath(new URL(".", import.meta.url));
  const built = here.endsWith(join("dist", "coordinator", "shell") + sep);
  return join(here, "..", "..", ...(built ? ["dashboard"] : ["dist", "dashboard"]));
}

/** By URL path; `/` is the page. Empty if the folder is not there. */
export function readStaticFiles(folder: string): ReadonlyMap<string, StaticFile> {
  const files = new Map<string, StaticFile>();
  for (const path of filesIn(folder)) {
    const type = TYPES[extname(path)];
    if (type === undefined) continue;
    const url = `/${relative(folder, path).split(sep).join("/")}`;
    const file = staticFile(type, readFileSync(path), HASHED.test(url));
    files.set(url, file);
    if (url === "/index.html") files.set("/", file);
  }
  return files;
}

function staticFile(type: string, body: Buffer, hashed: boolean): StaticFile {
  const gzipped = body.length >= 1_024 && !type.startsWith("image/png") ? gzipSync(body, { level: 9 }) : null;
  return {
    type,
    body,
    gzipped: gzipped !== null && gzipped.length < body.length ? gzipped : null,
    etag: `"${createHash("sha256").update(body).digest("base64url").slice(0, 27)}"`,
    cacheControl: hashed ? "private, max-age=31536000, immutable" : "no-cache",
  };
}

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}
