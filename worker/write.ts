/**
 * `write`: a trial of a character network trained again, which gives the same weights to the bit, and what it then writes.
 *
 * Guarantees: says so when the weights are not those on record (another engine or backend made them). The text depends on
 * the trial's seed, the start, the length and the temperature. Not here: where the trial comes from (the command line).
 */
import { numberText, textOfNumbers } from "../native/datasets.js";
import { ConvsweepError } from "../proto/contract.js";
import { hashWeights } from "./cohort.js";
import { loadDataset } from "./data/load.js";
import type { Engine, Recipe } from "./engine.js";
import { parseRecipe, planJob } from "./job.js";

export interface WriteOptions {
  /** The trial's recipe as JSON. */
  readonly recipe: string;
  /** 16 hexadecimal digits. */
  readonly seed: string;
  /** What the trial drew, as JSON. */
  readonly parameters: string;
  readonly weightsHash: string | null;
  /** `null`: the first character of the text's alphabet, which is most often a line's end or a space. */
  readonly start: string | null;
  readonly length: number;
  readonly temperature: number;
  readonly threads: number;
}

export interface Written {
  readonly text: string;
  readonly weightsHash: string;
  readonly warnings: readonly string[];
}

const SLICE_MILLIS = 200;

export async function writeText(
  engine: Engine,
  options: WriteOptions,
  onEpoch: (epoch: number, epochs: number) => void,
): Promise<Written> {
  const recipe = parseRecipe(options.recipe);
  const { text: source } = recipe.dataset;
  if (source === undefined) {
    throw new ConvsweepError("BAD_INPUT", "only a trial whose data set is a text can write", { path: "dataset" });
  }
  const start = numbersOf(options.start ?? source.characters.slice(0, 1), source.characters);
  const { digest, arrays } = await loadDataset(recipe.dataset, "", () => {
    throw new ConvsweepError("INTERNAL", "a text is not generated");
  });
  engine.registerDataset(digest, arrays);
  const session = engine.createSession({
    recipe: options.recipe,
    device: "cpu",
    dataset: digest,
    lanes: 1,
    threads: options.threads,
    isa: "auto",
    control: null,
  });
  try {
    const job = { recipe: options.recipe, seed: options.seed, parameters: options.parameters };
    const { seed, hyperparameters } = planJob(job);
    const lane = session.addLane({ seed, hyperparameters, checkpoint: null });
    trainToEnd(recipe, () => session.runSlice({ maxMillis: SLICE_MILLIS, maxSteps: null }), onEpoch);
    const weightsHash = hashWeights(session.weights(lane).data);
    const written = session.writeText(lane, { start, length: options.length, temperature: options.temperature });
    const same = options.weightsHash === null || options.weightsHash === weightsHash;
    return {
      text: (options.start ?? "") + textOfNumbers(written, source.characters),
      weightsHash,
      warnings: same ? [] : [`the weights are ${weightsHash}, on record are ${options.weightsHash ?? ""}`],
    };
  } finally {
    session.close();
  }
}

function numbersOf(start: string, characters: string): Uint8Array {
  try {
    return numberText(start, characters);
  } catch (cause) {
    throw new ConvsweepError("BAD_INPUT", (cause as Error).message, {
      path: "--start",
      expected: `characters of ${JSON.stringify(characters)}`,
      found: start,
      cause,
    });
  }
}

function trainToEnd(
  recipe: Recipe,
  slice: () => ReturnType<ReturnType<Engine["createSession"]>["runSlice"]>,
  onEpoch: (epoch: number, epochs: number) => void,
): void {
  while (true) {
    const { reports, diverged, state } = slice();
    for (const { epoch } of reports) onEpoch(epoch, recipe.epochs);
    if (diverged.length > 0) throw new ConvsweepError("BAD_INPUT", "the trial diverges and has nothing to write");
    if (state === "idle") return;
  }
}
