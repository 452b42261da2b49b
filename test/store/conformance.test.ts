/** Both stores pass one suite. */
import { openMemoryStore } from "../../coordinator/store/memory.js";
import { storeConformance } from "../conformance/store.js";
import { sqliteFixture } from "./scratch.js";

storeConformance("memory", () => {
  const store = openMemoryStore();
  return { store, reopen: () => store, dispose: () => store.close() };
});
storeConformance("sqlite", sqliteFixture);
