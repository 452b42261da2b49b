/** J4 of the fault plan: what this program stands on is little, exact, and cannot be swapped on the way. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

const read = <T>(name: string): T => JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8")) as T;

const { dependencies, devDependencies, allowScripts } = read<Record<string, Record<string, unknown>>>("package.json");
const { packages } = read<{
  readonly packages: Readonly<
    Record<string, { resolved?: string; integrity?: string; optional?: boolean; hasInstallScript?: boolean }>
  >;
}>("package-lock.json");

it("fewer than 15 packages, each of one version", () => {
  expect(Object.keys(dependencies ?? {}).length).toBeLessThan(15);
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies }))
    expect([name, version]).toEqual([name, expect.stringMatching(/^[0-9]+\.[0-9]+\.[0-9]+$/)]);
});

it("every package of the lock file comes from the registry with a digest, but those of other machines", () => {
  const installed = Object.entries(packages).filter(([path]) => path !== "");
  expect(installed.length).toBeGreaterThan(100);
  for (const [path, { resolved, integrity, optional }] of installed) {
    if (integrity === undefined) expect([path, optional]).toEqual([path, true]);
    else expect([path, integrity]).toEqual([path, expect.stringMatching(/^sha512-/)]);
    if (resolved !== undefined) expect(resolved).toMatch(/^https:\/\/registry\.npmjs\.org\//);
  }
});

it("those that run a script when they are installed are the ones that are allowed to", () => {
  const scripted = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript === true);
  expect(scripted.map(([path]) => path.replace("node_modules/", "")).sort()).toEqual(
    Object.keys(allowScripts ?? {}).sort(),
  );
});
