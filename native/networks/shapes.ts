/**
 * Shape inference of a network, in plain TypeScript, so that a sweep file is checked and priced with no engine at hand.
 *
 * Guarantees: the same shapes, parameter counts and messages as the engine's own inference (src/ops/shape.cpp); a test
 * runs both over the catalogue and over wrong networks. Not here: the range of single attributes (positive sizes and the
 * like): whoever reads a file checks those.
 */

import type { DatasetSpec, LayerSpec, Padding, Pair, Procedure } from "../recipe.js";
import type { LayerSummary } from "../types.js";
import { partsOf } from "./layers.js";

/** A network that cannot be built. `path` names the layer: `network.layers[3].kernel`. */
export class ShapeError extends Error {
  override readonly name = "ShapeError";
  readonly path: string;

  constructor(path: string, message: string) {
    super(`${path}: ${message}`);
    this.path = path;
  }
}

/** Channels, rows, columns. */
export type Extent = readonly [number, number, number];

const MAX_ELEMENTS = 2 ** 28;
const MAX_WINDOW = 65_536;

const sizeOf = ([c, h, w]: Extent): number => c * h * w;
const textOf = ([c, h, w]: Extent): string => (h * w === 1 ? String(c) : `${c}x${h}x${w}`);
const pairText = ([rows, columns]: Pair): string => `${rows}x${columns}`;

function unexpected(path: string, expected: string, found: string | number): ShapeError {
  return new ShapeError(path, `expected ${expected}, found ${found}`);
}

/** Every layer's output, parameters and multiply-adds, in order. Throws ShapeError. */
export function inferShapes(layers: readonly LayerSpec[], input: Extent): LayerSummary[] {
  return inferList(layers, input, "network.layers");
}

function inferList(layers: readonly LayerSpec[], input: Extent, path: string): LayerSummary[] {
  let extent = input;
  return layers.map((spec, index) => {
    const here = `${path}[${index}]`;
    const summary =
      spec.op === "residual" || spec.op === "branches" ? inferJoin(spec, extent, here) : inferLayer(spec, extent, here);
    extent = summary.output;
    return summary;
  });
}

type Join = Extract<LayerSpec, { op: "residual" | "branches" }>;

function inferJoin(spec: Join, input: Extent, path: string): LayerSummary {
  const parts = partsOf(spec).map(({ place, layers }) => ({
    place,
    layers: inferList(layers, input, `${path}.${place}`),
  }));
  const outputs = parts.map((part) => part.layers.at(-1)?.output ?? input);
  const output = spec.op === "residual" ? sumOf(outputs, path) : rowOf(outputs, path);
  const total = (count: (layer: LayerSummary) => number): number =>
    parts.flatMap((part) => part.layers).reduce((sum, layer) => sum + count(layer), 0);
  return {
    op: spec.op,
    output,
    parameters: total((layer) => layer.parameters),
    multiplyAdds: total((layer) => layer.multiplyAdds),
    parts,
  };
}

function sumOf([body = [0, 0, 0], shortcut = [0, 0, 0]]: readonly Extent[], path: string): Extent {
  if (body.some((side, i) => side !== shortcut[i])) {
    throw unexpected(`${path}.residual`, `a body that yields ${textOf(shortcut)}, as its shortcut does`, textOf(body));
  }
  return body;
}

function rowOf(outputs: readonly Extent[], path: string): Extent {
  const [first = [0, 0, 0], ...rest] = outputs;
  let channels = first[0];
  for (const [i, [more, rows, columns]] of rest.entries()) {
    if (rows !== first[1] || columns !== first[2]) {
      throw unexpected(
        `${path}.branches[${i + 1}]`,
        `planes of ${pairText([first[1], first[2]])}, as the first branch's`,
        pairText([rows, columns]),
      );
    }
    channels += more;
    const size = channels * rows * columns;
    if (size > MAX_ELEMENTS) throw unexpected(path, `at most ${MAX_ELEMENTS} values an image`, size);
  }
  return [channels, first[1], first[2]];
}

/** All that a recipe trains; of a GAN the generator's layers, then the discriminator's. Throws ShapeError. */
export function inferNetworks(
  layers: readonly LayerSpec[],
  procedure: Procedure | undefined,
  { shape, classes, text }: Pick<DatasetSpec, "shape" | "classes" | "text">,
): LayerSummary[] {
  if (procedure === undefined) {
    const summaries = inferShapes(layers, shape);
    checkNetwork(summaries, classes, text === undefined ? 1 : shape[2]);
    return summaries;
  }
  const { conditional, discriminator, latent } = procedure;
  const more = conditional ? classes : 0;
  const [channels, rows, columns] = shape;
  const drawing = inferList(layers, [latent + more, 1, 1], "network.layers");
  checkOutput(drawing, shape, `images of ${textOf(shape)}`, "network.layers");
  const judging = inferList(discriminator, [channels + more, rows, columns], "procedure.discriminator");
  checkOutput(judging, [1, 1, 1], "1 value", "procedure.discriminator");
  return [...drawing, ...judging];
}

/** Throws ShapeError unless the network learns something and ends in one value for each class, of a text at each step. */
export function checkNetwork(summaries: readonly LayerSummary[], classes: number, steps = 1): void {
  const wanted: Extent = [classes, 1, steps];
  const what =
    steps === 1 ? `${classes} values, one a class` : `${textOf(wanted)}, a value for each character at each step`;
  checkOutput(summaries, wanted, what, "network.layers");
}

function checkOutput(summaries: readonly LayerSummary[], wanted: Extent, what: string, path: string): void {
  const output = summaries.at(-1)?.output ?? [0, 0, 0];
  if (output.some((side, axis) => side !== wanted[axis])) {
    throw new ShapeError(path, `expected the last layer to yield ${what}, found ${textOf(output)}`);
  }
  if (summaries.every((layer) => layer.parameters === 0)) {
    throw new ShapeError(path, "expected a layer with parameters, found none");
  }
}

function inferLayer(spec: Exclude<LayerSpec, Join>, input: Extent, path: string): LayerSummary {
  const [channels, rows, columns] = input;
  let output: Extent = input;
  let parameters = 0;
  let multiplyAdds = 0;
  switch (spec.op) {
    case "linear":
      if (rows * columns !== 1) {
        throw new ShapeError(path, `linear needs a flat input, found ${textOf(input)}; put flatten before it`);
      }
      output = [spec.units, 1, 1];
      multiplyAdds = channels * spec.units;
      parameters = multiplyAdds + (spec.bias ? spec.units : 0);
      break;
    case "conv2d": {
      checkGroups(channels, spec, path);
      const [outRows, outColumns] = windows(input, spec.kernel, spec.stride, spec.padding, path, "kernel");
      output = [spec.filters, outRows, outColumns];
      const taps = (channels / spec.groups) * spec.kernel[0] * spec.kernel[1];
      parameters = spec.filters * taps + (spec.bias ? spec.filters : 0);
      multiplyAdds = sizeOf(output) * taps;
      break;
    }
    case "conv_transpose2d": {
      checkGroups(channels, spec, path);
      const [outRows, outColumns] = enlarged(input, spec, path);
      output = [spec.filters, outRows, outColumns];
      const taps = (spec.filters / spec.groups) * spec.kernel[0] * spec.kernel[1];
      parameters = channels * taps + (spec.bias ? spec.filters : 0);
      multiplyAdds = sizeOf(input) * taps;
      break;
    }
    case "reshape":
      if (sizeOf(spec.shape) !== sizeOf(input)) {
        throw unexpected(`${path}.shape`, `as many values as the input of ${textOf(input)} has`, textOf(spec.shape));
      }
      output = spec.shape;
      break;
    case "batch_norm":
      parameters = 2 * channels;
      break;
    case "max_pool2d":
    case "avg_pool2d":
      output = [channels, ...windows(input, spec.size, spec.stride, spec.padding, path, "size")];
      if (spec.op === "max_pool2d") checkWinner(spec.size, `${path}.size`);
      break;
    case "adaptive_max_pool2d":
    case "adaptive_avg_pool2d":
      output = [channels, ...spec.output];
      if (spec.op === "adaptive_max_pool2d") {
        checkWinner([widest(rows, spec.output[0]), widest(columns, spec.output[1])], path);
      }
      break;
    case "global_avg_pool2d":
    case "global_max_pool2d":
      output = [channels, 1, 1];
      if (spec.op === "global_max_pool2d") checkWinner([rows, columns], path);
      break;
    case "flatten":
      output = [sizeOf(input), 1, 1];
      break;
    case "rows_as_sequence":
      output = [channels * columns, 1, rows];
      break;
    case "embedding":
      if (channels !== 1) {
        throw new ShapeError(path, `embedding needs one channel of numbered characters, found ${textOf(input)}`);
      }
      output = [spec.units, rows, columns];
      parameters = spec.vocabulary * spec.units;
      break;
    case "rnn":
    case "lstm": {
      if (rows !== 1) {
        throw new ShapeError(
          path,
          `${spec.op} needs a sequence (features x 1 x steps), found ${textOf(input)}; put rows_as_sequence before it`,
        );
      }
      output = [spec.units, 1, spec.return_sequences ? columns : 1];
      const gateRows = (spec.op === "lstm" ? 4 : 1) * spec.units;
      parameters = gateRows * (channels + spec.units + 2);
      multiplyAdds = columns * gateRows * (channels + spec.units);
      break;
    }
    case "relu":
    case "leaky_relu":
    case "tanh":
    case "sigmoid":
    case "dropout":
      break;
  }
  if (sizeOf(output) > MAX_ELEMENTS) throw unexpected(path, `at most ${MAX_ELEMENTS} values an image`, textOf(output));
  if (parameters > MAX_ELEMENTS) throw unexpected(path, `at most ${MAX_ELEMENTS} parameters`, parameters);
  return { op: spec.op, output, parameters, multiplyAdds, parts: [] };
}

function checkGroups(
  channels: number,
  { filters, groups }: { readonly filters: number; readonly groups: number },
  path: string,
): void {
  if (channels % groups === 0 && filters % groups === 0) return;
  throw unexpected(`${path}.groups`, `a divisor of ${channels} channels and ${filters} filters`, groups);
}

/** Rows and columns that conv2d with the same attributes would bring back to the input's. */
function enlarged(
  input: Extent,
  spec: Extract<LayerSpec, { readonly op: "conv_transpose2d" }>,
  path: string,
): readonly [number, number] {
  const { kernel, stride, padding, output_padding: extra } = spec;
  if (extra[0] >= stride[0] || extra[1] >= stride[1]) {
    throw unexpected(`${path}.output_padding`, `less than the stride ${pairText(stride)}`, pairText(extra));
  }
  const along = (axis: 0 | 1): number =>
    ((input[axis + 1] ?? 0) - 1) * stride[axis] - 2 * padding[axis] + kernel[axis] + extra[axis];
  const [rows, columns] = [along(0), along(1)];
  if (rows < 1 || columns < 1) {
    throw unexpected(
      `${path}.padding`,
      `one that leaves something of the output of ${textOf(input)}`,
      pairText(padding),
    );
  }
  if (rows > MAX_ELEMENTS || columns > MAX_ELEMENTS) {
    throw unexpected(`${path}.stride`, `at most ${MAX_ELEMENTS} rows and columns`, `${rows}x${columns}`);
  }
  return [rows, columns];
}

/** The winner of a window is kept in 16 bits. */
function checkWinner(size: Pair, path: string): void {
  if (size[0] * size[1] > MAX_WINDOW) {
    throw unexpected(path, `a window of at most ${MAX_WINDOW} elements`, pairText(size));
  }
}

/** The largest part of `side` positions that falls to one of `count` windows, divided as an adaptive pool does. */
function widest(side: number, count: number): number {
  let most = 0;
  for (let i = 0; i < count; i++) {
    most = Math.max(most, Math.ceil(((i + 1) * side) / count) - Math.floor((i * side) / count));
  }
  return most;
}

function windows(
  input: Extent,
  kernel: Pair,
  stride: Pair,
  padding: Padding,
  path: string,
  name: "kernel" | "size",
): readonly [number, number] {
  if (name === "size" && typeof padding === "object" && (2 * padding[0] > kernel[0] || 2 * padding[1] > kernel[1])) {
    throw unexpected(`${path}.padding`, `at most half the window ${pairText(kernel)}`, pairText(padding));
  }
  const along = (axis: 0 | 1): number => {
    const side = input[axis + 1] ?? 0;
    if (padding === "same") return Math.ceil(side / stride[axis]);
    const padded = side + (padding === "valid" ? 0 : 2 * padding[axis]);
    return padded < kernel[axis] ? 0 : Math.floor((padded - kernel[axis]) / stride[axis]) + 1;
  };
  const [rows, columns] = [along(0), along(1)];
  if (rows < 1 || columns < 1) {
    throw unexpected(`${path}.${name}`, `at most the padded input of ${textOf(input)}`, pairText(kernel));
  }
  return [rows, columns];
}
