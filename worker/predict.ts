/**
 * `predict`: what a trial's kept weights say that image files show.
 *
 * Guarantees: the probabilities are the softmax of the network's logits, likeliest first, and of all classes they add up to 1;
 * what is wrong with a file is a ConvsweepError with its path. Not here: where the weights come from (the command line).
 */
import { decodePicture, fitPicture } from "../native/picture-file.js";
import { ConvsweepError } from "../proto/contract.js";
import type { Classifier, Recipe } from "./engine.js";
import { parseObject, parseRecipe } from "./job.js";
import { decodeSafetensors } from "./safetensors.js";

export interface PredictOptions {
  /** At most 65,536 of them. */
  readonly images: readonly { readonly path: string; readonly bytes: Uint8Array }[];
  /** A safetensors file. */
  readonly weights: Uint8Array;
  /** The JSON beside it. */
  readonly beside: string;
  /** How many classes to name. */
  readonly top: number;
  readonly threads: number;
}

export interface Guess {
  readonly class: string;
  readonly label: number;
  readonly probability: number;
}

export interface Prediction {
  readonly image: string;
  /** Columns and rows of the file. */
  readonly size: readonly [number, number];
  /** Channels, rows, columns that the network saw. */
  readonly seen: readonly [number, number, number];
  readonly guesses: readonly Guess[];
}

interface Beside {
  readonly recipe: Recipe;
  readonly text: string;
  readonly names: readonly string[];
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

/**
 * One prediction an image, in their order. Throws BAD_INPUT for an image or a network that cannot be used, CORRUPT for a damaged
 * file of weights.
 */
export async function predict(engine: Classifier, options: PredictOptions): Promise<readonly Prediction[]> {
  const { top, threads } = options;
  const { recipe, text, names, scale, shift } = readBeside(options.beside);
  const { shape } = recipe.dataset;
  if (recipe.procedure !== undefined || recipe.dataset.text !== undefined) {
    throw new ConvsweepError("BAD_INPUT", "the trial's network does not classify images", { path: "--trial" });
  }
  const { data } = decodeSafetensors(options.weights);
  const size = shape.reduce((product, side) => product * side, 1);
  const images = new Uint8Array(options.images.length * size);
  const sizes = options.images.map(({ path, bytes }, at): Prediction["size"] => {
    try {
      const picture = decodePicture(bytes);
      images.set(fitPicture(picture, shape), at * size);
      return [picture.width, picture.height];
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new ConvsweepError("BAD_INPUT", cause.message, { path, cause });
    }
  });
  const logits = await engine.classify({ recipe: text, device: "cpu", threads, weights: data, scale, shift, images });
  const classes = logits.length / options.images.length;
  return options.images.map(({ path }, at) => ({
    image: path,
    size: sizes[at] ?? [0, 0],
    seen: shape,
    guesses: guessesOf(logits.subarray(at * classes, (at + 1) * classes), names).slice(0, top),
  }));
}

/** Likeliest first; of equal ones the lower label. */
function guessesOf(logits: Float32Array, names: readonly string[]): Guess[] {
  return [...softmax(logits)]
    .map((probability, label) => ({ class: names[label] ?? String(label), label, probability }))
    .sort((a, b) => b.probability - a.probability || a.label - b.label);
}

function readBeside(content: string): Beside {
  const given = parseObject(content, "weights-recipe");
  const text = JSON.stringify(given["recipe"] ?? null);
  const { scale, shift } = (given["normalisation"] ?? {}) as { readonly scale?: unknown; readonly shift?: unknown };
  const numbers = (value: unknown): value is number[] =>
    Array.isArray(value) && value.every((one) => typeof one === "number");
  const names = given["class_names"];
  if (!numbers(scale) || !numbers(shift) || !Array.isArray(names)) {
    throw new ConvsweepError("BAD_INPUT", "these weights were kept before normalisation stood beside them", {
      path: "weights-recipe",
      expected: "class_names and normalisation: run the sweep again",
    });
  }
  return {
    recipe: parseRecipe(text),
    text,
    names: names.map(String),
    scale: Float32Array.from(scale),
    shift: Float32Array.from(shift),
  };
}

export function softmax(logits: Float32Array): Float64Array {
  const most = logits.reduce((found, logit) => Math.max(found, logit), Number.NEGATIVE_INFINITY);
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

export function describePrediction({ image, size, seen, guesses }: Prediction): string {
  const [channels, rows, columns] = seen;
  const width = Math.max(...guesses.map(({ class: name }) => name.length));
  const lines = guesses.map(
    ({ class: name, probability }) => `  ${name.padEnd(width)}  ${(100 * probability).toFixed(2).padStart(6)} %`,
  );
  const colours = channels === 1 ? "grey" : "coloured";
  return `${image}: ${size.join("x")}, seen as ${columns}x${rows} ${colours}\n${lines.join("\n")}\n`;
}
