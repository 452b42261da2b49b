/**
 * The network of a sweep file: a name from the catalogue, or a list of layers in short or long form, as full layers.
 *
 *   relu                                  no attributes
 *   linear: 10                            the main attribute alone
 *   conv2d: {filters: 20, kernel: 5}      attributes; the rest has defaults
 *   {op: conv2d, filters: 20, kernel: 5}  the long form
 *   residual: {body: [...], shortcut: []} a layer made of lists of layers; `residual: [...]` gives the body
 *   branches: [[...], [...]]
 *
 * Guarantees: every attribute is in its range and the shapes fit the data set. A network of the catalogue ends in as many
 * outputs as the data set has classes. Not here: what the layers compute.
 */
import { findNetwork, type NetworkEntry, networks } from "../../native/networks/index.js";
import { LAYER_DEFAULTS } from "../../native/networks/layers.js";
import { inferNetworks, ShapeError } from "../../native/networks/shapes.js";
import type { DatasetSpec, Init, LayerSpec, NetworkSpec, Padding, Pair, Procedure } from "../../native/recipe.js";
import { nearest } from "./nearest.js";
import { describe } from "./node.js";
import { type FileNode, isNothing, type MapEntry, type Position, type Reader } from "./reader.js";

type Op = LayerSpec["op"];

const INITS: readonly Init[] = ["he_normal", "he_uniform", "glorot_uniform", "torch_uniform", "dcgan_normal"];

/** Attributes of each operation; the first is the one that a bare value gives. */
const ATTRIBUTES: Readonly<Record<Op, readonly string[]>> = {
  linear: ["units", "bias", "init"],
  conv2d: ["filters", "kernel", "stride", "padding", "groups", "bias", "init"],
  conv_transpose2d: ["filters", "kernel", "stride", "padding", "output_padding", "groups", "bias", "init"],
  batch_norm: ["momentum", "epsilon"],
  relu: [],
  leaky_relu: ["slope"],
  tanh: [],
  sigmoid: [],
  dropout: ["rate"],
  max_pool2d: ["size", "stride", "padding"],
  avg_pool2d: ["size", "stride", "padding"],
  adaptive_max_pool2d: ["output"],
  adaptive_avg_pool2d: ["output"],
  global_avg_pool2d: [],
  global_max_pool2d: [],
  flatten: [],
  reshape: ["shape"],
  rows_as_sequence: [],
  embedding: ["units", "vocabulary"],
  rnn: ["units", "return_sequences", "init"],
  lstm: ["units", "return_sequences", "init"],
  residual: ["body", "shortcut"],
  branches: ["branches"],
};
const OPS = Object.keys(ATTRIBUTES) as Op[];
/** Operations that a bare value can complete. */
const SINGLE: readonly Op[] = [
  "linear",
  "leaky_relu",
  "dropout",
  "max_pool2d",
  "avg_pool2d",
  "adaptive_max_pool2d",
  "adaptive_avg_pool2d",
  "rnn",
  "lstm",
  "residual",
  "branches",
];
const MAX_LAYERS = 1_000;
const MAX_DEPTH = 8;
const MAX_SIZE = 65_536;

export interface CompiledNetwork {
  readonly spec: NetworkSpec;
  /** `null`: classification. */
  readonly procedure: Procedure | null;
  /** The catalogue's entry, for its defaults. */
  readonly entry: NetworkEntry | null;
}

export function compileNetwork(reader: Reader, node: FileNode, dataset: DatasetSpec): CompiledNetwork {
  const path = "network";
  if (node.kind === "list") {
    const file = new LayerFile(reader);
    const layers = file.list(reader.list(node, path, "a list of layers"), node, path, 0);
    checkShapes(reader, node.at, file.places, layers, null, dataset);
    return { spec: { name: null, layers }, procedure: null, entry: null };
  }
  if (node.kind === "map") return compileGan(reader, node, path, dataset);
  const names = networks.map((entry) => entry.name);
  const what = `a name (${names.join(", ")}) or a list of layers`;
  const name = reader.text(node, path, what);
  const entry = findNetwork(name);
  if (entry === null) {
    const near = nearest(name, names);
    throw reader.unexpected(node, path, what, near === null ? "" : `; did you mean ${near}?`);
  }
  const procedure = entry.procedure ?? null;
  const layers = procedure === null ? withClasses(entry.layers, dataset.classes) : entry.layers;
  checkShapes(reader, node.at, null, layers, procedure, dataset, `${name} on ${dataset.name}: `);
  return { spec: { name, layers }, procedure, entry };
}

/** `{generator: [...], discriminator: [...], latent: 100, conditional: false}` */
function compileGan(reader: Reader, node: FileNode, path: string, dataset: DatasetSpec): CompiledNetwork {
  const fields = reader.fields(node, path, ["generator", "discriminator", "latent", "conditional"]);
  const file = new LayerFile(reader);
  const list = (key: string): LayerSpec[] => {
    const value = fields.get(key)?.value;
    if (value === undefined) throw reader.error(node.at, path, `a network of two needs ${key}`, key, "no such key");
    return file.list(reader.list(value, `${path}.${key}`, "a list of layers"), value, `${path}.${key}`, 0);
  };
  const layers = list("generator");
  const discriminator = list("discriminator");
  const latent = fields.get("latent")?.value;
  const conditional = fields.get("conditional")?.value;
  const procedure: Procedure = {
    kind: "gan",
    discriminator,
    latent: latent === undefined ? 100 : reader.whole(latent, `${path}.latent`, { min: 1, max: 65_535 }),
    conditional: conditional === undefined ? false : reader.flag(conditional, `${path}.conditional`),
  };
  checkShapes(reader, node.at, file.places, layers, procedure, dataset);
  return { spec: { name: null, layers }, procedure, entry: null };
}

/** The catalogue's networks end in ten outputs, and those for texts begin with ten characters. */
function withClasses(layers: readonly LayerSpec[], classes: number): readonly LayerSpec[] {
  return layers.map((layer, i) => {
    if (i === 0 && layer.op === "embedding") return { ...layer, vocabulary: classes };
    if (i !== layers.length - 1) return layer;
    if (layer.op === "linear") return { ...layer, units: classes };
    return layer.op === "conv2d" ? { ...layer, filters: classes } : layer;
  });
}

function checkShapes(
  reader: Reader,
  at: Position,
  places: ReadonlyMap<string, Position> | null,
  layers: readonly LayerSpec[],
  procedure: Procedure | null,
  dataset: DatasetSpec,
  prefix = "",
): void {
  try {
    if (procedure === null) checkEmbedding(layers, dataset);
    inferNetworks(layers, procedure ?? undefined, dataset);
  } catch (thrown) {
    if (!(thrown instanceof ShapeError)) throw thrown;
    const list = procedure === null ? "network" : "network.generator";
    const path =
      places === null
        ? thrown.path
        : thrown.path.replace("network.layers", list).replace("procedure.discriminator", "network.discriminator");
    const message = thrown.message.slice(thrown.path.length + 2);
    throw reader.error(
      nearestPlace(places, path) ?? at,
      path,
      `${prefix}${message}`,
      /expected (.*), found/.exec(message)?.[1] ?? "",
      "",
    );
  }
}

/** Numbers of characters are all that an embedding understands, and it must have a row for each. */
function checkEmbedding(layers: readonly LayerSpec[], dataset: DatasetSpec): void {
  for (const [i, layer] of layers.entries()) {
    if (layer.op !== "embedding") continue;
    const path = `network.layers[${i}]`;
    if (dataset.text === undefined || i > 0) {
      throw new ShapeError(
        path,
        "embedding reads the characters of a text: it stands first, and the data set is a text",
      );
    }
    if (layer.vocabulary < dataset.classes) {
      throw new ShapeError(
        `${path}.vocabulary`,
        `expected at least the ${dataset.classes} characters of the text, found ${layer.vocabulary}`,
      );
    }
  }
}

/** Where the layer of a path stands in the file: the path itself, or what it lies in. */
function nearestPlace(places: ReadonlyMap<string, Position> | null, path: string): Position | undefined {
  for (let at = path; at !== ""; at = at.slice(0, Math.max(at.lastIndexOf("."), at.lastIndexOf("["), 0))) {
    const place = places?.get(at);
    if (place !== undefined) return place;
  }
  return undefined;
}

/** Compiles the layers of one file, within its limits, and remembers where each stood. */
class LayerFile {
  readonly places = new Map<string, Position>();
  readonly #reader: Reader;
  #count = 0;

  constructor(reader: Reader) {
    this.#reader = reader;
  }

  list(items: readonly FileNode[], node: FileNode, path: string, depth: number): LayerSpec[] {
    this.#count += items.length;
    if (this.#count > MAX_LAYERS) throw this.#reader.unexpected(node, path, `at most ${MAX_LAYERS} layers in all`);
    if (depth > MAX_DEPTH) throw this.#reader.unexpected(node, path, `at most ${MAX_DEPTH} lists within lists`);
    return items.map((item, i) => {
      const here = `${path}[${i}]`;
      this.places.set(here, item.at);
      return this.#layer(item, here, depth);
    });
  }

  #layer(node: FileNode, path: string, depth: number): LayerSpec {
    const reader = this.#reader;
    const what = "a layer such as relu, {linear: 10} or {conv2d: {filters: 20, kernel: 5}}";
    if (node.kind === "scalar") {
      return this.#build(opOf(reader, node, path, what), new Map(), path, path, node.at, depth);
    }
    const { entries } = reader.map(node, path, what);
    const long = entries.find((entry) => entry.key === "op");
    if (long !== undefined) {
      const op = opOf(reader, long.value, `${path}.op`, "the name of an operation");
      const fields = reader.fields(node, path, ["op", ...ATTRIBUTES[op]]);
      return this.#build(op, fields, path, path, node.at, depth);
    }
    const only = entries[0];
    if (only === undefined || entries.length > 1) {
      const found = entries.map((entry) => entry.key).join(", ") || "no keys";
      throw reader.error(node.at, path, `expected one operation a layer, found ${found}`, "one operation", found);
    }
    const op = OPS.find((candidate) => candidate === only.key);
    if (op === undefined) throw reader.unknownKey(only, path, OPS, "operation");
    const inner = `${path}.${op}`;
    return this.#build(op, attributesOf(reader, op, only, inner), inner, path, only.keyAt, depth);
  }

  /** `path` leads to the attributes, `layer` to the layer: they differ in the short form. */
  #build(
    op: Op,
    fields: ReadonlyMap<string, MapEntry>,
    path: string,
    layer: string,
    at: Position,
    depth: number,
  ): LayerSpec {
    const reader = this.#reader;
    const part = (place: string, node: FileNode): LayerSpec[] => {
      const here = `${layer}.${place}`;
      if (node.kind !== "list") throw reader.unexpected(node, here, "a list of layers");
      this.places.set(here, node.at);
      return this.list(node.items, node, here, depth + 1);
    };
    if (op === "residual") {
      const [body, shortcut] = [fields.get("body")?.value, fields.get("shortcut")?.value];
      if (body === undefined) throw reader.error(at, path, "residual needs body", "body", "no such key");
      reader.list(body, `${layer}.residual.body`, "a list of layers");
      return {
        op,
        body: part("residual.body", body),
        shortcut: shortcut === undefined || isNothing(shortcut) ? [] : part("residual.shortcut", shortcut),
      };
    }
    if (op === "branches") {
      const lists = fields.get("branches")?.value;
      if (lists === undefined) throw reader.error(at, path, "branches needs lists of layers", "branches", "nothing");
      const items = reader.list(lists, `${layer}.branches`, "a list of lists of layers");
      return { op, branches: items.map((item, i) => part(`branches[${i}]`, item)) };
    }
    return buildLayer(reader, op, fields, path, at);
  }
}

function opOf(reader: Reader, node: FileNode, path: string, what: string): Op {
  const value = reader.text(node, path, what);
  const op = OPS.find((candidate) => candidate === value);
  if (op !== undefined) return op;
  const near = nearest(value, OPS);
  throw reader.error(
    node.at,
    path,
    `unknown operation ${describe(node)}; ${near === null ? `there are ${OPS.join(", ")}` : `did you mean ${near}?`}`,
    near ?? OPS.join(", "),
    value,
  );
}

function attributesOf(reader: Reader, op: Op, entry: MapEntry, path: string): ReadonlyMap<string, MapEntry> {
  const known = ATTRIBUTES[op];
  if (entry.value.kind === "map") return reader.fields(entry.value, path, known);
  if (entry.value.kind === "scalar" && entry.value.value === null) return new Map();
  const main = known[0];
  if (main === undefined || !SINGLE.includes(op)) {
    throw reader.unexpected(
      entry.value,
      path,
      known.length === 0 ? "nothing: it has no attributes" : `a mapping of ${known.join(", ")}`,
    );
  }
  return new Map([[main, { ...entry, key: main }]]);
}

function buildLayer(
  reader: Reader,
  op: Exclude<Op, "residual" | "branches">,
  fields: ReadonlyMap<string, MapEntry>,
  path: string,
  at: Position,
): LayerSpec {
  const node = (key: string): FileNode | undefined => fields.get(key)?.value;
  const size = (key: string): number => {
    const value = node(key);
    if (value === undefined) throw reader.error(at, path, `${op} needs ${key}`, key, "no such key");
    return reader.whole(value, `${path}.${key}`, { min: 1, max: MAX_SIZE });
  };
  const pair = (key: string, fallback: Pair | null, min = 1): Pair => {
    const value = node(key);
    if (value !== undefined) return compilePair(reader, value, `${path}.${key}`, min);
    if (fallback !== null) return fallback;
    throw reader.error(at, path, `${op} needs ${key}`, key, "no such key");
  };
  const flag = (key: string, fallback: boolean): boolean => {
    const value = node(key);
    return value === undefined ? fallback : reader.flag(value, `${path}.${key}`);
  };
  const number = (key: string, fallback: number, bounds: Parameters<Reader["number"]>[2]): number => {
    const value = node(key);
    return value === undefined ? fallback : reader.number(value, `${path}.${key}`, bounds).value;
  };
  const init = (fallback: Init = LAYER_DEFAULTS.init): Init => {
    const value = node("init");
    return value === undefined ? fallback : reader.choice(value, `${path}.init`, INITS);
  };
  const padding = (): Padding => {
    const value = node("padding");
    return value === undefined ? LAYER_DEFAULTS.padding : compilePadding(reader, value, `${path}.padding`);
  };
  switch (op) {
    case "linear":
      return { op, units: size("units"), bias: flag("bias", LAYER_DEFAULTS.bias), init: init() };
    case "conv2d":
      return {
        op,
        filters: size("filters"),
        kernel: pair("kernel", null),
        stride: pair("stride", LAYER_DEFAULTS.stride),
        padding: padding(),
        groups: node("groups") === undefined ? LAYER_DEFAULTS.groups : size("groups"),
        bias: flag("bias", LAYER_DEFAULTS.bias),
        init: init(),
      };
    case "conv_transpose2d":
      return {
        op,
        filters: size("filters"),
        kernel: pair("kernel", null),
        stride: pair("stride", LAYER_DEFAULTS.stride),
        padding: pair("padding", LAYER_DEFAULTS.transposePadding, 0),
        output_padding: pair("output_padding", LAYER_DEFAULTS.outputPadding, 0),
        groups: node("groups") === undefined ? LAYER_DEFAULTS.groups : size("groups"),
        bias: flag("bias", LAYER_DEFAULTS.bias),
        init: init(),
      };
    case "reshape": {
      const shape = node("shape");
      if (shape === undefined) throw reader.error(at, path, `${op} needs shape`, "shape", "no such key");
      return { op, shape: compileExtent(reader, shape, `${path}.shape`) };
    }
    case "batch_norm":
      return {
        op,
        momentum: number("momentum", LAYER_DEFAULTS.batchNorm.momentum, { min: 0, max: 1, above: true }),
        epsilon: number("epsilon", LAYER_DEFAULTS.batchNorm.epsilon, { min: 0, above: true, max: 1 }),
      };
    case "leaky_relu":
      return { op, slope: number("slope", LAYER_DEFAULTS.leakySlope, { min: 0, max: 1 }) };
    case "dropout":
      return { op, rate: number("rate", LAYER_DEFAULTS.dropoutRate, { min: 0, max: 1, below: true }) };
    case "max_pool2d":
    case "avg_pool2d": {
      const window = pair("size", null);
      return { op, size: window, stride: pair("stride", window), padding: padding() };
    }
    case "adaptive_max_pool2d":
    case "adaptive_avg_pool2d":
      return { op, output: pair("output", null) };
    case "embedding":
      return { op, vocabulary: size("vocabulary"), units: size("units") };
    case "rnn":
    case "lstm":
      return {
        op,
        units: size("units"),
        return_sequences: flag("return_sequences", false),
        init: init(LAYER_DEFAULTS.recurrentInit),
      };
    case "rows_as_sequence":
    case "relu":
    case "tanh":
    case "sigmoid":
    case "global_avg_pool2d":
    case "global_max_pool2d":
    case "flatten":
      return { op };
  }
}

/** `[256, 4, 4]`: channels, rows, columns. */
function compileExtent(reader: Reader, node: FileNode, path: string): readonly [number, number, number] {
  const what = "three whole numbers: channels, rows, columns";
  const [channels, rows, columns, more] = reader.list(node, path, what);
  if (channels === undefined || rows === undefined || columns === undefined || more !== undefined) {
    throw reader.unexpected(node, path, what);
  }
  const bounds = { min: 1, max: MAX_SIZE };
  return [
    reader.whole(channels, `${path}[0]`, bounds),
    reader.whole(rows, `${path}[1]`, bounds),
    reader.whole(columns, `${path}[2]`, bounds),
  ];
}

/** `5` or `[5, 3]`: rows, columns. */
function compilePair(reader: Reader, node: FileNode, path: string, min: number): Pair {
  const bounds = { min, max: MAX_SIZE };
  if (node.kind !== "list") {
    const side = reader.whole(node, path, bounds);
    return [side, side];
  }
  const [rows, columns] = node.items;
  if (rows === undefined || columns === undefined || node.items.length !== 2) {
    throw reader.unexpected(node, path, "a whole number or two (rows, columns)");
  }
  return [reader.whole(rows, `${path}[0]`, bounds), reader.whole(columns, `${path}[1]`, bounds)];
}

function compilePadding(reader: Reader, node: FileNode, path: string): Padding {
  if (node.kind === "scalar" && typeof node.value === "string")
    return reader.choice<"valid" | "same">(node, path, ["valid", "same"]);
  if (node.kind === "scalar" && typeof node.value !== "number") {
    throw reader.unexpected(node, path, "valid, same, a whole number or two");
  }
  return compilePair(reader, node, path, 0);
}
