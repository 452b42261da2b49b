/**
 * Adds to package-lock.json the optional packages of other platforms that npm left out, as it does when the registry at hand
 * does not carry them; without them `npm ci` calls the lock file out of step. Run after changing dependencies.
 *
 * Platform fields are read off the packages' names (`cli-linux-x64-musl`), so npm skips them where they do not belong. They
 * have no integrity: nothing was downloaded.
 */
import { readFileSync, writeFileSync } from "node:fs";

const OS = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
  "wasm32",
];
const CPU = ["arm64", "arm", "ia32", "x64", "ppc64", "riscv64", "s390x", "loong64", "mips64el", "wasm32"];

/** `@oxc-parser/binding-linux-arm-gnueabihf` -> { os, cpu, libc } */
function platformOf(name) {
  const words = name.split("/").at(-1).split(/[-_]/);
  const find = (known) =>
    words.map((word) => known.find((entry) => word === entry || (word === "armv7" && entry === "arm"))).find(Boolean);
  const [os, cpu] = [find(OS), find(CPU)];
  const libc = words.some((word) => word.startsWith("musl"))
    ? "musl"
    : words.some((word) => word.startsWith("gnu"))
      ? "glibc"
      : null;
  if (os === "wasm32" || cpu === "wasm32") return { cpu: ["wasm32"] };
  return { ...(os ? { os: [os] } : {}), ...(cpu ? { cpu: [cpu] } : {}), ...(libc ? { libc: [libc] } : {}) };
}

const file = new URL("../package-lock.json", import.meta.url);
const lock = JSON.parse(readFileSync(file, "utf8"));
const added = [];
for (const [place, entry] of Object.entries(lock.packages)) {
  for (const [name, wanted] of Object.entries(entry.optionalDependencies ?? {})) {
    const nested = `${place}/node_modules/${name}`;
    if (lock.packages[`node_modules/${name}`] || lock.packages[nested]) continue;
    const platform = platformOf(name);
    if (Object.keys(platform).length === 0) throw new Error(`${name}: no platform in its name`);
    lock.packages[`node_modules/${name}`] = {
      version: wanted.replace(/^[\^~]/, ""),
      ...platform,
      ...(entry.dev ? { dev: true } : {}),
      optional: true,
    };
    added.push(name);
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
process.stdout.write(`${added.length} added\n`);
