/**
 * Mutated files for everything that reads files of strangers: data sets, pictures, weights, checkpoints, spools.
 *
 * usage: node test/long/fuzz.mjs [--targets a,b] [--minutes 10] [--seed 1]
 *
 * A reader takes a mutated file, or refuses it with an error of its own; anything else (another error, a crash of the process, a
 * call of more than 10 s, more than 2 GiB of memory, an answer that contradicts itself, a checkpoint taken that is not the one
 * saved) is a finding. Each target runs in a process of its own, one after another. A case is a function of target, seed and number:
 * a finding names them, and `--only NUMBER` runs it alone. Prints a table; exits 1 if there was a finding.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { crc32 } from "node:zlib";
import { parseImages, parseLabels } from "../../dist/native/arrays.js";
import { hyperparameters } from "../../dist/native/hyperparameters.js";
import { loadEngine } from "../../dist/native/index.js";
import { findNetwork } from "../../dist/native/networks/index.js";
import { recipeFor } from "../../dist/native/networks/recipe-for.js";
import { decodePicture } from "../../dist/native/picture-file.js";
import { parseOwnRecords } from "../../dist/native/records.js";
import { LinkRequest } from "../../dist/proto/gen/convsweep/v1/worker.js";
import { parseRecords } from "../../dist/worker/data/cifar.js";
import { parseIdx } from "../../dist/worker/data/idx.js";
import { decodeSafetensors } from "../../dist/worker/safetensors.js";
import { readSpool } from "../../dist/worker/spool.js";

const CALL_MILLIS = 10_000;
const MEMORY_BYTES = 2 * 2 ** 30;

const golden = (path) => readFileSync(new URL(`../golden/${path}`, import.meta.url));
const expect = (holds, what) => {
  if (!holds) throw new Error(`contradicts itself: ${what}`);
};

function npy(type, dims, bytes) {
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': (${dims.join(", ")},), }`;
  const padded = `${text.padEnd(117)}\n`;
  return Buffer.concat([
    Buffer.from("\x93NUMPY\x01\x00", "latin1"),
    Buffer.from([padded.length, 0]),
    Buffer.from(padded),
    bytes,
  ]);
}

function idx(type, dims, bytes) {
  const head = Buffer.alloc(4 + 4 * dims.length);
  head.set([0, 0, type, dims.length]);
  for (const [i, dim] of dims.entries()) head.writeUInt32BE(dim, 4 + 4 * i);
  return Buffer.concat([head, bytes]);
}

const some = (count) => Buffer.from(Uint8Array.from({ length: count }, (_, i) => (i * 37) & 255));
const pictures = () =>
  readdirSync(new URL("../golden/pictures/", import.meta.url)).filter((name) => !name.endsWith(".json"));

/** Each: the files to begin with, the reader, and the codes or names of the errors that are its own. */
const TARGETS = {
  arrays: () => ({
    files: [npy("|u1", [3, 4, 5], some(60)), npy("|u1", [2, 4, 5, 3], some(120)), idx(8, [3, 4, 5], some(60))],
    read(file) {
      const { shape, count, values } = parseImages(file);
      expect(values.length === count * shape[0] * shape[1] * shape[2], "images");
    },
    own: ["RangeError"],
  }),
  labels: () => ({
    files: [npy("<i8", [9], Buffer.alloc(72)), npy("|u1", [9, 1], Buffer.alloc(9)), idx(8, [9], Buffer.alloc(9))],
    read: (file) => expect(parseLabels(file) instanceof Uint8Array, "labels"),
    own: ["RangeError"],
  }),
  idx: () => ({
    files: [idx(8, [3, 4, 5], some(60))],
    read: (file) => expect(parseIdx(file, "file", [3, 4, 5]).length === 60, "60 bytes"),
    own: ["CORRUPT"],
  }),
  cifar: () => ({
    files: [Buffer.concat([0, 1, 2, 3].map((label) => Buffer.concat([Buffer.from([label]), some(3072)])))],
    read(file) {
      const target = { images: new Uint8Array(4 * 3072), labels: new Uint8Array(4), first: 0 };
      parseRecords(file, "file", { labelRanges: [10], imageBytes: 3072 }, 4, target);
      expect(
        target.labels.every((label) => label < 10),
        "labels",
      );
    },
    own: ["CORRUPT"],
  }),
  records: () => ({
    files: [some(4 * 14), some(9 * 14)],
    read(file) {
      const { count, images, labels } = parseOwnRecords(file, [3, 2, 2], 2);
      expect(labels.length === count && images.length === 12 * count && file.length === 14 * count, "records");
      expect(
        labels.every((label, i) => label === file[14 * i + 1]) &&
          images.every((byte, i) => byte === file[14 * Math.floor(i / 12) + 2 + (i % 12)]),
        "a record's place",
      );
    },
    own: ["RangeError"],
  }),
  pictures: () => ({
    files: pictures().map((name) => golden(`pictures/${name}`)),
    read(file) {
      const { width, height, channels, data } = decodePicture(file);
      expect(width > 0 && height > 0 && data.length === width * height * channels, "pixels");
    },
    own: ["RangeError"],
  }),
  safetensors: () => ({
    files: [golden("weights/weights.safetensors")],
    read(file) {
      const { tensors, data } = decodeSafetensors(file);
      const values = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
      expect(values === data.length, "as many values as the shapes say");
    },
    own: ["CORRUPT"],
  }),
  checkpoint: checkpointTarget,
  spool: () => ({
    files: [spoolFile()],
    read: (file) => void readSpool(Buffer.from(file)),
    own: [],
  }),
};

function checkpointTarget() {
  const engine = loadEngine();
  const [shape, count] = [[1, 28, 28], 40];
  const dataset = { name: "fuzz", shape, classes: 10, validation: 5, train_images: count, test_images: 0, seed: null };
  const recipe = recipeFor(findNetwork("tinycnn"), dataset, { epochs: 3, hyperparameters: { learning_rate: 0.01 } });
  engine.registerDataset("fuzz", {
    shape,
    classes: 10,
    trainImages: some(count * 784),
    trainLabels: Uint8Array.from({ length: count }, (_, i) => i % 10),
    testImages: new Uint8Array(0),
    testLabels: new Uint8Array(0),
  });
  const options = {
    recipe: JSON.stringify(recipe),
    device: "cpu",
    dataset: "fuzz",
    lanes: 1,
    threads: 1,
    isa: "auto",
    control: null,
  };
  const session = engine.createSession(options);
  const vector = Float64Array.from(hyperparameters, ({ name }) => recipe.hyperparameters[name] ?? Number.NaN);
  const lane = (checkpoint) => session.addLane({ seed: 1n, hyperparameters: vector, checkpoint });
  const first = lane(null);
  session.runSlice({ maxMillis: 10_000, maxSteps: 3 });
  const saved = Buffer.from(session.saveLane(first));
  session.removeLane(first);
  return {
    files: [saved],
    read(file) {
      session.removeLane(lane(file));
      expect(saved.equals(file), "a checkpoint was taken that is not the one saved");
    },
    own: ["ENGINE_CORRUPT_CHECKPOINT", "ENGINE_FOREIGN_CHECKPOINT"],
  };
}

/** Records of length, CRC-32 and JSON. */
function spoolFile() {
  const held = { attempt: "1/0#1", token: 1 };
  const report = {
    ...held,
    epoch: 1,
    step: 10,
    metrics: [{ name: "val_loss", value: { $case: "number", number: 0.5 } }],
  };
  const message = LinkRequest.encode({ seq: 1, ack: 0, body: { $case: "report", value: report } }).finish();
  const lines = [
    { kind: "begin", incarnation: "a", before: ["b"] },
    { kind: "store", store: "s" },
    ...[1, 2, 3].map((id) => ({ kind: "put", id, held, message: Buffer.from(message).toString("base64") })),
    { kind: "done", ids: [1] },
  ];
  return Buffer.concat(
    lines.map((line) => {
      const payload = Buffer.from(JSON.stringify(line));
      const head = Buffer.alloc(8);
      head.writeUInt32LE(payload.length);
      head.writeUInt32LE(crc32(payload), 4);
      return Buffer.concat([head, payload]);
    }),
  );
}

/** SplitMix32. */
function stream(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    return (z ^ (z >>> 15)) >>> 0;
  };
  return (below) => (below > 0 ? next() % below : 0);
}

const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];

function mutated(files, below) {
  let file = Buffer.from(files[below(files.length)]);
  for (let turns = 1 + below(4); turns > 0; turns -= 1) {
    // Where formats keep their lengths and types: as often near the start as anywhere.
    const at = below(2) === 0 ? below(Math.min(128, file.length)) : below(file.length);
    switch (below(7)) {
      case 0:
        if (file.length > 0) file[at] ^= 1 << below(8);
        break;
      case 1:
        if (file.length > 0) file[at] = INTERESTING[below(INTERESTING.length)];
        break;
      case 2:
        file = file.subarray(0, at);
        break;
      case 3:
        if (file.length >= at + 4)
          file.writeUInt32LE([0, 1, 0x7fffffff, 0x80000000, 0xffffffff, file.length][below(6)], at);
        break;
      case 4:
        file = Buffer.concat([file.subarray(0, at), file.subarray(at + below(16))]);
        break;
      case 5:
        file = Buffer.concat([
          file.subarray(0, at),
          file.subarray(below(file.length), below(file.length)),
          file.subarray(at),
        ]);
        break;
      default: {
        const other = files[below(files.length)];
        file = Buffer.concat([file.subarray(0, at), other.subarray(below(other.length))]);
      }
    }
    file = Buffer.from(file);
  }
  return file;
}

const { values: flags } = parseArgs({
  options: {
    targets: { type: "string", default: Object.keys(TARGETS).join(",") },
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    child: { type: "boolean", default: false },
  },
});

/** One finding for each place in the code: messages tell of the file too. */
const placeOf = ({ stack }) => String(stack?.split("\n").find((line) => line.startsWith("    at ")));

/** One target, in this process: prints how far it is, and each finding, as JSON lines. */
function work(name) {
  const { files, read, own } = TARGETS[name]();
  const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
  const end = Date.now() + Number(flags.minutes) * 60_000;
  const result = { cases: 0, taken: 0, refused: 0, slowest: 0 };
  const known = new Set();
  const first = Number(flags.only ?? 0);
  let told = performance.now();
  for (let number = first; Date.now() < end && (flags.only === undefined || number === first); number += 1) {
    const file = mutated(files, stream(Math.imul(Number(flags.seed), 0x85ebca6b) ^ number));
    const begin = performance.now();
    if (begin - told > 1_000) {
      say({ at: number });
      told = begin;
    }
    try {
      read(file);
      result.taken += 1;
    } catch (error) {
      if (own.includes(error.code ?? error.name)) result.refused += 1;
      else if (!known.has(placeOf(error))) {
        known.add(placeOf(error));
        say({ finding: `${error.code ?? error.name}: ${error.message}`, number });
      }
    }
    const millis = performance.now() - begin;
    if (millis > CALL_MILLIS) say({ finding: `took ${Math.round(millis)} ms`, number });
    result.slowest = Math.max(result.slowest, millis);
    result.cases += 1;
  }
  const { maxRSS } = process.resourceUsage();
  if (maxRSS * 1024 > MEMORY_BYTES) say({ finding: `${Math.round(maxRSS / 1024)} MiB of memory`, number: null });
  say({ result: { ...result, slowest: Math.round(result.slowest), memory: Math.round(maxRSS / 1024) } });
}

async function supervise(name) {
  const args = ["--child", "--targets", name, "--minutes", flags.minutes, "--seed", flags.seed];
  if (flags.only !== undefined) args.push("--only", flags.only);
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const findings = [];
  let [text, at, result] = ["", 0, null];
  let silent = null;
  const watch = () => {
    clearTimeout(silent);
    silent = setTimeout(() => child.kill("SIGKILL"), 12 * CALL_MILLIS);
  };
  watch();
  child.stdout.on("data", (chunk) => {
    watch();
    const lines = (text + chunk).split("\n");
    text = lines.pop();
    for (const line of lines.map((one) => JSON.parse(one))) {
      at = line.at ?? at;
      result = line.result ?? result;
      if (line.finding) findings.push(`case ${line.number}: ${line.finding}`);
    }
  });
  const [code, signal] = await new Promise((resolve) => child.once("close", (...end) => resolve(end)));
  clearTimeout(silent);
  if (result === null) findings.push(`the process ended (${signal ?? code}) after case ${at}`);
  return { name, result, findings };
}

const names = flags.targets.split(",");
for (const name of names) {
  if (name in TARGETS) continue;
  process.stderr.write(`no target ${name}; there are ${Object.keys(TARGETS).join(", ")}\n`);
  process.exit(2);
}
if (!existsSync(new URL("../../dist/worker/spool.js", import.meta.url))) {
  process.stderr.write("dist/ is not built: run `npm run build` first\n");
  process.exit(2);
}
if (flags.child) {
  work(names[0]);
} else {
  process.stdout.write(
    `| target | cases | taken | refused | slowest call ms | memory MiB | findings |\n|---|---|---|---|---|---|---|\n`,
  );
  for (const name of names) {
    const { result, findings } = await supervise(name);
    const { cases, taken, refused, slowest, memory } = result ?? {};
    process.stdout.write(
      `| ${name} | ${cases} | ${taken} | ${refused} | ${slowest} | ${memory} | ${findings.length === 0 ? "none" : findings.join("; ")} |\n`,
    );
    if (findings.length > 0) process.exitCode = 1;
  }
}
