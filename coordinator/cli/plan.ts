/**
 * `convsweep plan FILE`: checks a sweep file and says what it would cost on this machine, before paying: layers, memory a
 * lane, lanes, images a second (measured by the worker program for a second or two), time for the whole sweep.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { Command } from "commander";
import { inferNetworks } from "../../native/networks/shapes.js";
import type { Recipe } from "../../native/recipe.js";
import type { SweepSpec } from "../core/types.js";
import { compileSweep } from "../recipe/compile.js";
import { contextOf, parseLanes } from "./context.js";
import { formatBytes, formatDuration } from "./format.js";
import type { Output } from "./output.js";
import { networkTables, unitOf, workLine } from "./plan-lines.js";
import { readSweepFile } from "./run.js";
import { captureWorkerProgram } from "./worker-process.js";

/** What `worker probe --json` answers. */
interface Probe {
  readonly device: string;
  readonly fingerprint: string;
  readonly threads: number;
  readonly bytesPerLane: number;
  readonly bytesShared: number;
  readonly speeds: readonly { readonly lanes: number; readonly imagesPerSecond: number }[];
}

export function addPlan(program: Command): void {
  program
    .command("plan")
    .description("check a sweep file and say what it would cost")
    .argument("<file>", "a sweep file, YAML or JSON")
    .option("--device <id>", "the device to measure", "cpu")
    .option("--lanes <n|auto>", "trials at once", parseLanes, "auto")
    .option("--no-measure", "check and count only; train nothing")
    .addHelpText(
      "after",
      `
The time is that of training; measuring validation images comes on top. Needs no data set: speed does not depend on the
pixels.

Examples:
  convsweep plan examples/mnist-lenet.yaml
  convsweep plan sweep.yaml --no-measure --json`,
    )
    .action(async (file: string, options: { device: string; lanes: string; measure: boolean }, command: Command) => {
      const { output } = contextOf(command);
      const { spec, warnings } = compileSweep(readSweepFile(file), basename(file), dirname(file));
      for (const warning of warnings) output.notice(`warning: ${warning}`);
      // The coordinator core holds a recipe as opaque data; compile made it from this type.
      const recipe = spec.recipe as unknown as Recipe;
      const probe = options.measure ? await measure(recipe, options.device, options.lanes) : null;
      const layers = inferNetworks(recipe.network.layers, recipe.procedure, recipe.dataset);
      const images = spec.runCap * recipe.epochs * (recipe.dataset.train_images - recipe.dataset.validation);
      const speed = probe?.speeds.at(-1) ?? null;
      if (output.json) {
        output.data({
          name: spec.name,
          trials: spec.runCap,
          epochs: recipe.epochs,
          images,
          layers,
          parameters: layers.reduce((sum, layer) => sum + layer.parameters, 0),
          probe,
          seconds: speed === null ? null : images / speed.imagesPerSecond,
        });
        return;
      }
      writeNetwork(output, recipe);
      writeCost(output, spec, recipe, images, probe);
    });
}

function writeNetwork(output: Output, recipe: Recipe): void {
  for (const { title, lines } of networkTables(recipe, output.columns)) {
    output.line(output.paint.bold(title));
    for (const [index, line] of lines.entries()) output.line(index === 0 ? output.paint.dim(line) : line);
    output.line();
  }
}

function writeCost(output: Output, spec: SweepSpec, recipe: Recipe, images: number, probe: Probe | null): void {
  output.line(workLine(spec.runCap, recipe, images));
  if (probe === null) return;
  output.line(`memory   ${formatBytes(probe.bytesPerLane)} a lane, ${formatBytes(probe.bytesShared)} shared`);
  for (const { lanes, imagesPerSecond } of probe.speeds) {
    const text = `${lanes} ${lanes === 1 ? "lane " : "lanes"}  ${Math.round(imagesPerSecond).toLocaleString("en")} ${unitOf(recipe)}/s`;
    output.line(`${text.padEnd(32)}  ${formatDuration((1000 * images) / imagesPerSecond)} for the sweep`);
  }
  output.line(
    output.paint.dim(
      `measured on ${probe.device} with ${probe.threads} threads, training only; evaluation comes on top`,
    ),
  );
}

async function measure(recipe: Recipe, device: string, lanes: string): Promise<Probe> {
  const folder = mkdtempSync(join(tmpdir(), "convsweep-plan-"));
  try {
    const file = join(folder, "recipe.json");
    writeFileSync(file, JSON.stringify(recipe));
    return JSON.parse(
      await captureWorkerProgram(["probe", "--recipe", file, "--device", device, "--lanes", lanes, "--json"]),
    ) as Probe;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
