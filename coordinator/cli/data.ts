/**
 * `convsweep data`: the worker program's verb, passed on to it as it is. Of `check` also sweep files and paths of one's own:
 * they are read here as a submission would read them, and by the worker program as a trial would.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Command } from "commander";
import { datasets } from "../../native/datasets.js";
import { dataOfPaths, dataOfSweep, isSweepFile } from "../recipe/data-of.js";
import { contextOf } from "./context.js";
import { readSweepFile } from "./run.js";
import { runWorkerProgram } from "./worker-process.js";

/** Those with files; a name of one means it, whatever lies beside. */
const PUBLISHED = datasets.filter(({ seed }) => seed === null).map(({ name }) => name);

export function addData(program: Command): void {
  program
    .command("data")
    .description("data sets: list, fetch, check")
    .argument("<verb>", "list, fetch or check")
    .argument("[names...]", `${PUBLISHED.join(", ")}; \`all\` of them with fetch; with check also paths`)
    .option("--data <dir>", "folder of data sets (default: $CONVSWEEP_DATA or ~/.cache/convsweep/data)")
    .addHelpText(
      "after",
      `
\`check\` takes a sweep file, for its data set, and data of one's own: a folder of images by class, records in CIFAR's form
(.bin), a text (.txt), array files in pairs (images, then labels).

Examples:
  convsweep data list
  convsweep data fetch mnist
  convsweep data check cifar10 --data /data
  convsweep data check sweep.yaml
  convsweep data check flowers/`,
    )
    .action(async (verb: string, given: string[], options: { data?: string }, command: Command) => {
      const { output } = contextOf(command);
      const own =
        verb === "check" ? given.filter((name) => isSweepFile(name) || /[./\\]/.test(name) || isThere(name)) : [];
      const passed = [
        ...given.filter((name) => !own.includes(name)),
        ...(options.data === undefined ? [] : ["--data", options.data]),
        ...(output.json ? ["--json"] : []),
      ];
      if (own.length === 0) {
        process.exitCode = await runWorkerProgram(["data", verb, ...passed]);
        return;
      }
      const found = [
        ...own.filter(isSweepFile).map((file) => dataOfSweep(readSweepFile(file), basename(file), dirname(file))),
        ...dataOfPaths(own.filter((path) => !isSweepFile(path))),
      ];
      for (const warning of found.flatMap(({ warnings }) => warnings)) output.notice(`warning: ${warning}`);
      const folder = mkdtempSync(join(tmpdir(), "convsweep-data-"));
      try {
        const file = join(folder, "data.json");
        writeFileSync(file, JSON.stringify(found.map(({ dataset }) => dataset)));
        process.exitCode = await runWorkerProgram(["data", verb, ...passed, "--specs", file]);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    });
}

const isThere = (name: string): boolean => !PUBLISHED.includes(name) && existsSync(name);
