/**
 * How a trial trains, beside its network: data set and validation part, schedule, augmentation. Names become full data.
 */
import { datasets, findDataset } from "../../native/datasets.js";
import type { NetworkEntry } from "../../native/networks/entry.js";
import { averagingOf, NO_AUGMENTATION } from "../../native/networks/recipe-for.js";
import type { Augmentation, Averaging, DatasetSpec, Schedule } from "../../native/recipe.js";
import { compileArrays, isArrays } from "./arrays.js";
import { compileFolder, isFolder } from "./image-folder.js";
import { nearest } from "./nearest.js";
import type { OwnFiles } from "./own-files.js";
import { type FileNode, isNothing, type MapEntry, type Reader } from "./reader.js";
import { compileRecords, isRecords } from "./records.js";
import { compileText, isText } from "./text.js";

/** `cifar10`, `{name: synthetic-digits, seed: 3, train_images: 2000, test_images: 500}`, `{text: my.txt}`, `{folder: mine}`, `{records: mine.bin}` or `{images: my.npy, labels: mine.npy}`. */
export function compileDataset(
  reader: Reader,
  node: FileNode,
  validation: FileNode | undefined,
  files: OwnFiles,
): DatasetSpec {
  if (isArrays(node)) return compileArrays(reader, node, validation, files);
  if (isRecords(node)) return compileRecords(reader, node, validation, files);
  if (isFolder(node)) return compileFolder(reader, node, validation, files);
  if (isText(node)) return compileText(reader, node, validation, files);
  const names = datasets.map((info) => info.name);
  const map =
    node.kind === "map" ? reader.fields(node, "dataset", ["name", "seed", "train_images", "test_images"]) : null;
  const nameNode = map ? map.get("name")?.value : node;
  if (nameNode === undefined) throw reader.error(node.at, "dataset", "a data set needs name", "name", "no such key");
  const namePath = map ? "dataset.name" : "dataset";
  const name = reader.text(nameNode, namePath, `one of ${names.join(", ")}`);
  const found = findDataset(name);
  if (found === null) {
    const near = nearest(name, names);
    throw reader.unexpected(
      nameNode,
      namePath,
      `one of ${names.join(", ")}`,
      near === null ? "" : `; did you mean ${near}?`,
    );
  }
  const spec = map ? generated(reader, map, found) : found;
  if (validation === undefined)
    return { ...spec, validation: Math.min(spec.validation, Math.floor(spec.train_images / 2)) };
  const held = reader.whole(validation, "validation", { min: 0, max: spec.train_images - 1 });
  return { ...spec, validation: held };
}

/** Only a generated set has a seed and a size to choose. */
function generated(reader: Reader, map: ReadonlyMap<string, MapEntry>, spec: DatasetSpec): DatasetSpec {
  const choices: Partial<Record<"seed" | "train_images" | "test_images", number>> = {};
  const bounds = {
    seed: { min: 0, max: 2 ** 32 - 1 },
    train_images: { min: 2, max: 1_000_000 },
    test_images: { min: 1, max: 1_000_000 },
  };
  for (const key of ["seed", "train_images", "test_images"] as const) {
    const entry = map.get(key);
    if (entry === undefined) continue;
    if (spec.seed === null) {
      throw reader.error(
        entry.keyAt,
        `dataset.${key}`,
        `${spec.name} is read from files; only generated sets have ${key}`,
        "",
        key,
      );
    }
    choices[key] = reader.whole(entry.value, `dataset.${key}`, bounds[key]);
  }
  return { ...spec, ...choices };
}

const KINDS = ["constant", "step", "exponential", "cosine", "list", "one_cycle"] as const;
const SCHEDULE_KEYS: Readonly<Record<Schedule["kind"], readonly string[]>> = {
  constant: [],
  step: ["every", "factor"],
  exponential: ["factor"],
  cosine: ["floor"],
  list: ["factors", "cycle"],
  one_cycle: ["warmup", "div", "final_div"],
};

/** `cosine`, `{step: {every: 5, factor: 0.5}}`, `{kind: step, every: 5, factor: 0.5}`, or a list of factors. */
export function compileSchedule(reader: Reader, node: FileNode | undefined): Schedule {
  const path = "schedule";
  if (node === undefined || isNothing(node)) return { kind: "constant" };
  if (node.kind === "list") return { kind: "list", factors: factorsOf(reader, node, path), cycle: false };
  if (node.kind === "scalar") return scheduleOf(reader, reader.choice(node, path, KINDS), new Map(), path, node);
  const kindEntry = node.entries.find((entry) => entry.key === "kind");
  if (kindEntry !== undefined) {
    const kind = reader.choice(kindEntry.value, `${path}.kind`, KINDS);
    return scheduleOf(reader, kind, reader.fields(node, path, ["kind", ...SCHEDULE_KEYS[kind]]), path, node);
  }
  const only = node.entries[0];
  if (only === undefined || node.entries.length > 1) {
    throw reader.unexpected(node, path, "one kind of schedule, such as {step: {every: 5, factor: 0.5}}");
  }
  const kind = KINDS.find((candidate) => candidate === only.key);
  if (kind === undefined) throw reader.unknownKey(only, path, KINDS, "schedule");
  const inner = `${path}.${kind}`;
  if (kind === "list" && only.value.kind === "list")
    return { kind, factors: factorsOf(reader, only.value, inner), cycle: false };
  const fields = isNothing(only.value)
    ? new Map<string, MapEntry>()
    : reader.fields(only.value, inner, SCHEDULE_KEYS[kind]);
  return scheduleOf(reader, kind, fields, inner, only.value);
}

function factorsOf(reader: Reader, node: FileNode, path: string): readonly number[] {
  const items = reader.list(node, path, "a list of factors");
  return items.map((item, i) => reader.number(item, `${path}[${i}]`, { min: 0, max: 1e6 }).value);
}

function scheduleOf(
  reader: Reader,
  kind: Schedule["kind"],
  fields: ReadonlyMap<string, MapEntry>,
  path: string,
  whole: FileNode,
): Schedule {
  const node = (key: string): FileNode => {
    const entry = fields.get(key);
    if (entry === undefined)
      throw reader.error(whole.at, path, `the schedule ${kind} needs ${key}`, key, "no such key");
    return entry.value;
  };
  const number = (key: string, fallback: number | null, bounds: Parameters<Reader["number"]>[2]): number =>
    fallback !== null && !fields.has(key) ? fallback : reader.number(node(key), `${path}.${key}`, bounds).value;
  const factor = { min: 0, max: 1e6, above: true };
  switch (kind) {
    case "constant":
      return { kind };
    case "step":
      return {
        kind,
        every: reader.whole(node("every"), `${path}.every`, { min: 1 }),
        factor: number("factor", null, factor),
      };
    case "exponential":
      return { kind, factor: number("factor", null, factor) };
    case "cosine":
      return { kind, floor: number("floor", 0, { min: 0, max: 1 }) };
    case "list":
      return {
        kind,
        factors: factorsOf(reader, node("factors"), `${path}.factors`),
        cycle: fields.has("cycle") && reader.flag(node("cycle"), `${path}.cycle`),
      };
    case "one_cycle":
      return {
        kind,
        warmup: number("warmup", 0.3, { min: 0, max: 1, above: true, below: true }),
        div: number("div", 25, { min: 1, max: 1e9 }),
        final_div: number("final_div", 1e4, { min: 1, max: 1e9 }),
      };
  }
}

const AUGMENTATIONS = ["flip", "crop_padding", "cutout", "brightness", "contrast", "saturation"] as const;

/** `{flip: true, crop_padding: 4}`, or `none`. */
export function compileAugmentation(reader: Reader, node: FileNode | undefined, dataset: DatasetSpec): Augmentation {
  if (node === undefined || isNothing(node) || (node.kind === "scalar" && node.value === "none"))
    return NO_AUGMENTATION;
  const fields = reader.fields(node, "augmentation", AUGMENTATIONS, `none or a mapping of ${AUGMENTATIONS.join(", ")}`);
  if (dataset.text !== undefined) {
    throw reader.error(node.at, "augmentation", "a text is not flipped or cropped; remove the key", "", "augmentation");
  }
  const max = Math.min(dataset.shape[1], dataset.shape[2]);
  const pixels = (key: string): number => {
    const value = fields.get(key)?.value;
    return value === undefined ? 0 : reader.whole(value, `augmentation.${key}`, { min: 0, max });
  };
  const strength = (key: string): number => {
    const value = fields.get(key)?.value;
    return value === undefined ? 0 : reader.number(value, `augmentation.${key}`, { min: 0, max: 1 }).value;
  };
  const flip = fields.get("flip")?.value;
  return {
    flip: flip === undefined ? false : reader.flag(flip, "augmentation.flip"),
    crop_padding: pixels("crop_padding"),
    cutout: pixels("cutout"),
    brightness: strength("brightness"),
    contrast: strength("contrast"),
    saturation: strength("saturation"),
  };
}

/**
 * `{start: 30, every: 1}`: after 30 epochs; `none`; without the key what the catalogue says of the network. `epochs` is the
 * most that a trial trains.
 */
export function compileAveraging(
  reader: Reader,
  node: FileNode | undefined,
  { entry, epochs, gan }: { readonly entry: NetworkEntry | null; readonly epochs: number; readonly gan: boolean },
): Averaging | null {
  if (node === undefined) return entry === null ? null : averagingOf(entry, epochs);
  if (isNothing(node) || (node.kind === "scalar" && node.value === "none")) return null;
  const fields = reader.fields(node, "averaging", ["start", "every"], "none or a mapping of start, every");
  if (gan)
    throw reader.error(node.at, "averaging", "a GAN's weights are not averaged; remove the key", "", "averaging");
  const start = fields.get("start");
  if (start === undefined) throw reader.error(node.at, "averaging", "averaging needs start", "start", "no such key");
  const every = fields.get("every");
  return {
    start: reader.whole(start.value, "averaging.start", { min: 0, max: epochs - 1 }),
    every: every === undefined ? 1 : reader.whole(every.value, "averaging.every", { min: 1, max: epochs }),
  };
}
