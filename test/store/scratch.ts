/** A folder of its own for a test, gone afterwards. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../../coordinator/store/sqlite.js";
import type { StoreFixture } from "../conformance/store.js";

export function scratchFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "convsweep-store-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function sqliteFixture(): StoreFixture {
  const folder = scratchFolder();
  const dir = join(folder.path, "store");
  const fixture: StoreFixture = {
    store: openSqliteStore(dir, { create: true }),
    reopen() {
      fixture.store.close();
      fixture.store = openSqliteStore(dir, { create: false });
      return fixture.store;
    },
    dispose() {
      fixture.store.close();
      folder.remove();
    },
  };
  return fixture;
}
