import { defineConfig } from "vitest/config";

/** Unit, conformance and property tests run from source; end-to-end tests run the built program in dist/. */
const shared = { testTimeout: 30_000, hookTimeout: 60_000, pool: "forks" as const };

export default defineConfig({
  test: {
    maxWorkers: 2,
    projects: [
      {
        test: {
          ...shared,
          name: "unit",
          include: [
            "test/{core,sim,recipe,store,shell,worker,cli,proto,dashboard,conformance,golden,house,doors}/**/*.test.ts",
          ],
        },
      },
      { test: { ...shared, name: "native", include: ["native/test/**/*.test.ts"], testTimeout: 180_000 } },
      {
        test: {
          ...shared,
          name: "e2e",
          include: ["test/{e2e,fault,corpus,docs}/**/*.test.ts"],
          testTimeout: 240_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
