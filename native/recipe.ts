/**
 * The recipe: what a trial trains, complete and resolved, as plain data.
 *
 * Guarantees: everything that decides a trial's result, other than its seed, its lane hyperparameters and the backend,
 * is in here; two trials with equal recipes can share a cohort. Every field is present (`null` for absent), so the
 * JSON text is canonical once keys are sorted. The engine parses the same JSON; field names are the contract.
 *
 * Not here: searching, seeds of a sweep, where it runs.
 */

/** 1: classification. 2: with a procedure. The engine reads both, so that what is stored stays what it is. */
export const RECIPE_VERSION = 1;
export const PROCEDURE_RECIPE_VERSION = 2;

/** How a parameter tensor starts. `fan_in` counts inputs of one output unit; of rnn and lstm the units. Biases start at zero. */
export type Init = "he_normal" | "he_uniform" | "glorot_uniform" | "torch_uniform" | "dcgan_normal";

/** Rows, columns. */
export type Pair = readonly [number, number];

/**
 * Zeros around the input. `same` adds as few as yield ceil(side / stride) rows and columns, the smaller half first: in all
 * max((ceil(side / stride) - 1) * stride + kernel - side, 0), as TensorFlow and Keras do. With stride 1 that is PyTorch's
 * `same`; with a larger one PyTorch has none.
 */
export type Padding = "valid" | "same" | Pair;

export type LayerSpec =
  | { readonly op: "linear"; readonly units: number; readonly bias: boolean; readonly init: Init }
  | {
      readonly op: "conv2d";
      readonly filters: number;
      readonly kernel: Pair;
      readonly stride: Pair;
      readonly padding: Padding;
      readonly groups: number;
      readonly bias: boolean;
      readonly init: Init;
    }
  /**
   * The convolution of these attributes run backwards, from its output to its input: (in - 1) * stride - 2 * padding +
   * kernel + output_padding rows, output_padding below the stride. PyTorch's ConvTranspose2d.
   */
  | {
      readonly op: "conv_transpose2d";
      readonly filters: number;
      readonly kernel: Pair;
      readonly stride: Pair;
      readonly padding: Pair;
      readonly output_padding: Pair;
      readonly groups: number;
      readonly bias: boolean;
      readonly init: Init;
    }
  /** Per channel over batch, rows and columns. running = (1 - momentum) * running + momentum * batch statistic. */
  | { readonly op: "batch_norm"; readonly momentum: number; readonly epsilon: number }
  | { readonly op: "relu" }
  | { readonly op: "leaky_relu"; readonly slope: number }
  | { readonly op: "tanh" }
  | { readonly op: "sigmoid" }
  /** Inverted dropout. The lane hyperparameter `dropout`, when given, replaces `rate` in every dropout layer. */
  | { readonly op: "dropout"; readonly rate: number }
  /** The largest of a window; padding never is. */
  | { readonly op: "max_pool2d"; readonly size: Pair; readonly stride: Pair; readonly padding: Padding }
  /** The mean of a window, in which padding counts as zeros (PyTorch's default; Keras leaves it out). */
  | { readonly op: "avg_pool2d"; readonly size: Pair; readonly stride: Pair; readonly padding: Padding }
  /**
   * `output` rows and columns, whatever the input's: window i of n over a side of s pixels is those from floor(i * s / n) to
   * below ceil((i + 1) * s / n). PyTorch's AdaptiveMaxPool2d and AdaptiveAvgPool2d.
   */
  | { readonly op: "adaptive_max_pool2d"; readonly output: Pair }
  | { readonly op: "adaptive_avg_pool2d"; readonly output: Pair }
  | { readonly op: "global_avg_pool2d" }
  | { readonly op: "global_max_pool2d" }
  | { readonly op: "flatten" }
  /** Other channels, rows and columns of the same values in the same order. */
  | { readonly op: "reshape"; readonly shape: readonly [number, number, number] }
  /**
   * An image as a sequence: each row is a step, its pixels (of all channels) are the features. A sequence has its features as
   * channels, one row, and its steps as columns.
   */
  | { readonly op: "rows_as_sequence" }
  /** Numbered characters to vectors: one row of the weights each. Starts uniform in [-1, 1). */
  | { readonly op: "embedding"; readonly vocabulary: number; readonly units: number }
  /** h = tanh(W_ih x + b_ih + W_hh h + b_hh), from h = 0. Yields the last step's h, or every step's. */
  | { readonly op: "rnn"; readonly units: number; readonly return_sequences: boolean; readonly init: Init }
  /** Long short-term memory, as PyTorch computes it (gates input, forget, cell, output; two biases). */
  | { readonly op: "lstm"; readonly units: number; readonly return_sequences: boolean; readonly init: Init }
  /** The sum of what `body` and `shortcut` yield from the same input; an empty shortcut is the input itself. */
  | { readonly op: "residual"; readonly body: readonly LayerSpec[]; readonly shortcut: readonly LayerSpec[] }
  /** What the branches yield from the same input, one after another along the channels; an empty one is the input. */
  | { readonly op: "branches"; readonly branches: readonly (readonly LayerSpec[])[] };

export interface NetworkSpec {
  /** The catalogue's name, for people; never used to look anything up again. */
  readonly name: string | null;
  readonly layers: readonly LayerSpec[];
}

/**
 * How a network learns, where it is not classification.
 *
 * `gan`: the network is a generator of images from `latent` normal deviates; the discriminator, one logit an image, learns to
 * tell them from the data set's. Both have the recipe's optimiser and the lane's hyperparameters. `conditional`: the class, as
 * one-hot planes, follows the channels of both inputs.
 */
export interface Procedure {
  readonly kind: "gan";
  readonly discriminator: readonly LayerSpec[];
  readonly latent: number;
  readonly conditional: boolean;
}

export interface DatasetSpec {
  readonly name: string;
  /** Channels, rows, columns of one image. */
  readonly shape: readonly [number, number, number];
  readonly classes: number;
  /** Images held out of the end of the training set for validation. */
  readonly validation: number;
  readonly train_images: number;
  readonly test_images: number;
  /** Generated sets only: the generator's seed; `null` for files. */
  readonly seed: number | null;
  /** A text of one's own; absent for images. Its windows are the images: [1, 1, steps], a class a character. */
  readonly text?: TextSource;
  /** Array files of one's own; absent otherwise. */
  readonly arrays?: ArraySource;
  /** Files of records as CIFAR's; absent otherwise. */
  readonly records?: RecordSource;
  /** A folder of images by class; absent otherwise. */
  readonly folder?: FolderSource;
}

/** A subfolder a class, PNG and JPEG files in it (image-folder.ts); taken in the order of `orderOf`, the last ones are for validation. */
export interface FolderSource {
  /** Absolute, on every machine that trains. */
  readonly path: string;
  /** Over all files' names and contents, in hex. */
  readonly sha256: string;
  /** Names by label. */
  readonly classes: readonly string[];
  /** Rows and columns that every image is brought to; absent: they all have them. */
  readonly size?: readonly [number, number];
  /** The test images: a folder with subfolders of the same names; absent: none. */
  readonly test?: OwnFileSource;
}

/** Images and labels in `.npy` or IDX files; taken in the order of `orderOf` (arrays.ts), the last ones are for validation. */
export interface ArraySource extends ArrayPair {
  /** Names by label; absent: nobody named them. */
  readonly classes?: readonly string[];
  /** The test images, in the order of the file; absent: none. */
  readonly test?: ArrayPair;
}

export interface ArrayPair {
  readonly images: OwnFileSource;
  readonly labels: OwnFileSource;
}

/**
 * Files of records of the same length (records.ts), one after another: label bytes, of which the last one counts, and the
 * image, a plane a channel. Taken in the order of `orderOf` from the first file's digest, the last ones are for validation.
 */
export interface RecordSource {
  readonly files: readonly OwnFileSource[];
  readonly label_bytes: number;
  /** Names by label; absent: nobody named them. */
  readonly classes?: readonly string[];
  /** The test images, in the order of the files; absent: none. */
  readonly test?: readonly OwnFileSource[];
}

export interface OwnFileSource {
  /** Absolute, on every machine that trains. */
  readonly path: string;
  /** Of the file's bytes, in hex. */
  readonly sha256: string;
}

/** A text file, cut into windows of `shape[2]` characters one after another; the last ones are for validation. */
export interface TextSource {
  /** Absolute, on every machine that trains. */
  readonly path: string;
  /** Of the file's bytes, in hex. */
  readonly sha256: string;
  /** Each character once, in ascending order; its place is its number. */
  readonly characters: string;
}

/** `adamw` is adam whose decay is decoupled. */
export type Optimizer = "sgd" | "momentum" | "rmsprop" | "adam" | "adamw";

/**
 * How `l2` acts: `loss` adds l2 * w to the gradient; `decoupled` multiplies w by 1 - learning rate * l2 before the step
 * (Loshchilov and Hutter 2019), always so with adamw.
 */
export type Decay = "loss" | "decoupled";

/** A factor on the lane's learning rate, from the epoch (from 0, fractional within an epoch where said). */
export type Schedule =
  | { readonly kind: "constant" }
  /** factor ** floor(epoch / every) */
  | { readonly kind: "step"; readonly every: number; readonly factor: number }
  /** factor ** epoch, whole epochs */
  | { readonly kind: "exponential"; readonly factor: number }
  /** floor + (1 - floor) * (1 + cos(pi * t / epochs)) / 2, t the fractional epoch */
  | { readonly kind: "cosine"; readonly floor: number }
  /** factors[min(epoch, length - 1)], or factors[epoch mod length] when it is a cycle */
  | { readonly kind: "list"; readonly factors: readonly number[]; readonly cycle: boolean }
  /** Linear from 1/div to 1 over `warmup` (a fraction of all steps), then cosine down to 1/final_div. */
  | { readonly kind: "one_cycle"; readonly warmup: number; readonly div: number; readonly final_div: number };

/**
 * How training images are changed, in this order: flip and crop, colours, cutout. Lane hyperparameters of the same names,
 * when given, take a value's place.
 */
export interface Augmentation {
  /** Horizontal flip with probability one half. */
  readonly flip: boolean;
  /** Zero padding (after normalisation) on each side before a random crop back to size; 0 = none. */
  readonly crop_padding: number;
  /** Side in pixels of a square at a random place that is set to 0 after normalisation; 0 = none. */
  readonly cutout: number;
  /**
   * Colour jitter: each of the three is scaled by a factor drawn from [1 - value, 1 + value], brightness first, then
   * contrast, then saturation, as torchvision defines them; 0 = none, at most 1.
   */
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
}

/**
 * Stochastic weight averaging (Izmailov et al. 2018): after `start` epochs, the weights at the end of the next epoch and of
 * every `every`-th one after it enter an equal average, which validation, test and kept weights then use; training goes on
 * from its own weights. The average's batch norm statistics are means over the epoch's batches, seen once more.
 */
export interface Averaging {
  readonly start: number;
  readonly every: number;
}

/** Hyperparameters that each lane has for itself. See hyperparameters.ts for ranges and defaults. */
export type LaneHyperparameter =
  | "learning_rate"
  | "l2"
  | "momentum"
  | "rho"
  | "beta1"
  | "beta2"
  | "epsilon"
  | "dropout"
  | "label_smoothing"
  | "schedule_factor"
  | "schedule_floor"
  | "schedule_warmup"
  | "flip"
  | "crop_padding"
  | "cutout"
  | "brightness"
  | "contrast"
  | "saturation";

export interface Recipe {
  readonly version: typeof RECIPE_VERSION | typeof PROCEDURE_RECIPE_VERSION;
  readonly network: NetworkSpec;
  /** From version 2. */
  readonly procedure?: Procedure;
  readonly dataset: DatasetSpec;
  readonly batch_size: number;
  readonly epochs: number;
  readonly optimizer: Optimizer;
  readonly nesterov: boolean;
  readonly decay: Decay;
  readonly schedule: Schedule;
  readonly augmentation: Augmentation;
  /** Absent: the last weights count. */
  readonly averaging?: Averaging;
  readonly precision: "float32";
  /** Draw a new order each epoch. `false` only in comparisons with other programs. */
  readonly shuffle: boolean;
  /** Measure the test set after the last epoch. */
  readonly test_at_end: boolean;
  /** A completed trial keeps its weights as a file. Absent: it does not. */
  readonly keep_weights?: true;
  /** Values a trial has unless it draws its own. `null` leaves what the layers, schedule or augmentation say. */
  readonly hyperparameters: Readonly<Record<LaneHyperparameter, number | null>>;
}
