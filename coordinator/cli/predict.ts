/**
 * `convsweep predict IMAGE... --trial ID`: what a trial that kept its weights says of image files.
 *
 * Reads the record like any reading command, with or without a coordinator; the weights come from the store's folder, so it works
 * on the coordinator's machine, or anywhere with the files that `trial show --save` wrote (`--kept`).
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { ConvsweepError } from "../../proto/contract.js";
import { artifactsOf, saveArtifacts } from "./artifacts.js";
import { ask } from "./connect.js";
import { type Context, contextOf, parseCount } from "./context.js";
import { parseTrial } from "./trial.js";
import { runWorkerProgram } from "./worker-process.js";

interface Options {
  readonly trial?: string;
  readonly kept?: string;
  readonly top: number;
}

const TOP = 5;

export function addPredict(program: Command): void {
  program
    .command("predict")
    .description("what a trained network says that images show")
    .argument("<images...>", "PNG or JPEG files")
    .option("--trial <id>", "SWEEP/NUMBER of a trial that kept its weights", parseTrial)
    .option("--kept <dir>", "the folder that `trial show ID --save DIR` wrote, instead of a trial")
    .option("--top <n>", "classes to name", parseCount("--top", 1, 256), TOP)
    .addHelpText(
      "after",
      `
The middle of an image is taken in the network's proportions and size. Trials keep their
weights where the sweep file says keep_weights: true.

Examples:
  convsweep predict cat.jpg --trial 1/3
  convsweep predict *.png --trial 1/3 --json        # a line an image
  convsweep predict cat.jpg --kept kept --json`,
    )
    .action(async (images: string[], options: Options, command: Command) => {
      process.exitCode = await predict(contextOf(command), images, options);
    });
}

async function predict(context: Context, images: readonly string[], { trial, kept, top }: Options): Promise<number> {
  if ((trial === undefined) === (kept === undefined)) {
    throw new ConvsweepError("BAD_INPUT", "predict needs --trial ID or --kept DIR, one of them");
  }
  const run = (folder: string): Promise<number> =>
    runWorkerProgram([
      "predict",
      "--kept",
      folder,
      "--top",
      String(top),
      ...(context.options.json ? ["--json"] : []),
      "--",
      ...images,
    ]);
  if (kept !== undefined) {
    if (!existsSync(join(kept, "weights.safetensors"))) {
      throw new ConvsweepError("NOT_FOUND", `${kept} holds no weights.safetensors`, { path: "--kept" });
    }
    return await run(kept);
  }
  const folder = mkdtempSync(join(tmpdir(), "convsweep-predict-"));
  try {
    await fetchWeights(context, trial ?? "", folder);
    return await run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function fetchWeights(context: Context, trial: string, folder: string): Promise<void> {
  const found = await ask(context, "SELECT id FROM trials WHERE id = ?", [trial]);
  if (found.rows.length === 0) {
    throw new ConvsweepError("NOT_FOUND", `there is no trial ${trial}; \`${context.command} trials\` lists them`, {
      found: trial,
    });
  }
  const files = (await artifactsOf(context, trial)).filter(
    ({ name }) => name === "weights" || name === "weights-recipe",
  );
  if (files.length < 2) {
    throw new ConvsweepError(
      "NOT_FOUND",
      `trial ${trial} kept no weights; completed trials of sweeps with \`keep_weights: true\` do`,
      { path: "--trial" },
    );
  }
  if (context.options.coordinator !== null) {
    throw new ConvsweepError(
      "BAD_INPUT",
      "the weights lie on the coordinator's machine: predict there, or copy what `trial show --save` writes and use --kept",
      { path: "--trial", expected: "no --coordinator", found: context.options.coordinator },
    );
  }
  await saveArtifacts(context, files, folder);
}
