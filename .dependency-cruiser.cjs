/**
 * Who may import whom (README, "The house"). Types count as imports.
 * @type {import("dependency-cruiser").IConfiguration}
 */
const rule = (name, from, to, comment) => ({ name, severity: "error", comment, from, to });

module.exports = {
  forbidden: [
    rule("no-circular", {}, { circular: true }, "a cycle hides who depends on whom"),
    rule(
      "core-is-pure",
      { path: "^coordinator/core/" },
      { pathNot: "^(coordinator/core|proto)/" },
      "the core imports the contract and itself: no node:, no package",
    ),
    rule(
      "proto-knows-nobody",
      { path: "^proto/" },
      { path: "^(coordinator|worker|native|dashboard|test)/" },
      "the contract",
    ),
    rule(
      "store-below-shell",
      { path: "^coordinator/(store|recipe)/" },
      { path: "^(coordinator/(shell|cli)|worker|dashboard|test)/" },
      "store and recipe know the core, not who uses them",
    ),
    rule(
      "shell-below-cli",
      { path: "^coordinator/shell/" },
      { path: "^(coordinator/cli|worker|dashboard|test)/" },
      "no way up",
    ),
    rule(
      "cli-spawns-worker",
      { path: "^coordinator/" },
      { path: "^(worker|dashboard|test)/" },
      "a worker is a process of its own",
    ),
    rule(
      "recipe-reads-native-data-only",
      { path: "^coordinator/" },
      {
        path: "^native/",
        pathNot:
          "^native/(networks/|recipe\\.ts|hyperparameters\\.ts|datasets\\.ts|arrays\\.ts|image-folder\\.ts|records\\.ts)",
      },
      "the coordinator never loads the engine",
    ),
    rule(
      "worker-not-coordinator",
      { path: "^worker/" },
      { path: "^(coordinator|dashboard|test)/" },
      "they meet in proto/",
    ),
    rule(
      "one-native-door",
      { path: "^worker/", pathNot: "^worker/engine\\.ts$" },
      { path: "^native/index\\.ts$", dependencyTypesNot: ["type-only"] },
      "worker/engine.ts is the only importer of the engine; types may be named elsewhere",
    ),
    rule(
      "native-stands-alone",
      { path: "^native/", pathNot: "^native/test/" },
      { path: "^(proto|coordinator|worker|dashboard|test)/" },
      "",
    ),
    rule("dashboard-reads-proto", { path: "^dashboard/src/" }, { path: "^(coordinator|worker|native|test)/" }, ""),
    rule("not-to-test", { pathNot: "^(test|native/test)/" }, { path: "^(test|native/test)/" }, "nothing imports tests"),
    rule("no-unresolved", {}, { couldNotResolve: true }, "an import that leads nowhere"),
  ],
  options: {
    doNotFollow: { path: ["node_modules", "^dist/"] },
    exclude: { path: "^(dist|native/build|native/third_party)" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
      extensions: [".ts", ".tsx", ".js", ".mjs"],
    },
  },
};
