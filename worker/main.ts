/**
 * The worker program: `join`, `devices`, `probe`, `write`, `predict`, `data`.
 *
 * Guarantees: exit code 0 for done, 2 for bad input, 70 for a fault of the engine or of the program, 77 when TLS with
 * the coordinator cannot come about, 78 when the coordinator refuses the worker; errors go to standard error, results to standard output. On SIGTERM or SIGINT `join`
 * gives what it holds back to the coordinator and ends; the same signal again ends it at once. With a thread stuck inside
 * the engine the process kills itself (SIGKILL): nothing gentler ends it.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { ConvsweepError, PROGRAM_VERSION, toConvsweepError } from "../proto/contract.js";
import { endOnCrash, setLastWords } from "../proto/crash.js";
import { deviceList, type JoinOptions, joinConfig, wholeNumber } from "./config.js";
import { dataCommand, processIo } from "./data/cli.js";
import { chooseDevices, describeDevices } from "./devices.js";
import { engineError, openEngine } from "./engine.js";
import { joinCoordinator } from "./join.js";
import { LOG_LEVELS, openLog } from "./log.js";
import { describePrediction, predict } from "./predict.js";
import { describeProbe, probe } from "./probe.js";
import { type WriteOptions, writeText } from "./write.js";

const PROBE_MILLIS = 1_000;

function print(text: string): void {
  process.stdout.write(text);
}

function printJson(value: unknown): void {
  print(`${JSON.stringify(value)}\n`);
}

async function joinFleet(options: JoinOptions): Promise<number> {
  const config = joinConfig(options, process.env);
  const log = openLog(config.logLevel, config.name);
  if (config.logLevel !== "silent")
    setLastWords(({ message, stack = "" }) => log("error", "crashed", message, { stack }));
  const worker = joinCoordinator(config, {
    engine: openEngine(),
    log,
    // `exit` would wait for the thread's native call to return, which a stuck one never does.
    abort: () => process.kill(process.pid, "SIGKILL"),
  });
  const seen = new Set<NodeJS.Signals>();
  const onSignal = (signal: NodeJS.Signals): void => {
    // A terminal's Ctrl-C reaches the whole group, and the parent may add its own: only a repeat means haste.
    if (seen.has(signal)) process.exit(signal === "SIGINT" ? 130 : 143);
    seen.add(signal);
    worker.leave(`the worker was ended (${signal})`);
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  if (options.withParent === true) {
    process.stdin.on("error", () => worker.leave("the process that started the worker ended"));
    process.stdin.on("end", () => worker.leave("the process that started the worker ended"));
    process.stdin.resume();
  }
  return worker.ended;
}

interface DevicesCommand {
  readonly json?: boolean;
  readonly check?: string;
}

async function listDevices(options: DevicesCommand): Promise<number> {
  const engine = openEngine();
  const devices = engine.devices();
  if (options.check !== undefined) {
    chooseDevices(devices, { devices: deviceList(options.check), lanes: null, threads: null, memory: null });
    return 0;
  }
  const cuda = await engine.gpuSupport(null);
  if (options.json) printJson({ devices, cuda });
  else print(describeDevices(devices, cuda));
  return 0;
}

interface ProbeCommand {
  readonly recipe: string;
  readonly device: string;
  readonly lanes: string;
  readonly threads?: string;
  readonly json?: boolean;
}

function probeRecipe(options: ProbeCommand): number {
  let recipe: string;
  try {
    recipe = readFileSync(options.recipe === "-" ? 0 : options.recipe, "utf8");
  } catch (cause) {
    throw new ConvsweepError("BAD_INPUT", `the recipe cannot be read: ${toConvsweepError(cause).message}`, {
      path: "--recipe",
      cause,
    });
  }
  const engine = openEngine();
  const [device] = chooseDevices(engine.devices(), {
    devices: [options.device],
    lanes: options.lanes === "auto" ? null : wholeNumber("--lanes", options.lanes, 65_536),
    threads: options.threads === undefined ? null : wholeNumber("--threads", options.threads, 4_096),
    memory: null,
  });
  if (!device) throw new ConvsweepError("BAD_INPUT", "no device", { path: "--device" });
  const { id, lanes, threads } = device;
  const result = probe(engine, {
    recipe,
    device: id,
    lanes,
    threads,
    millis: PROBE_MILLIS,
    now: () => performance.now(),
  });
  if (options.json) printJson(result);
  else print(describeProbe(result));
  return 0;
}

interface WriteCommand {
  readonly trial: string;
  readonly start?: string;
  readonly length: string;
  readonly temperature: string;
  readonly json?: boolean;
}

async function write(options: WriteCommand): Promise<number> {
  const trial = JSON.parse(readFileSync(options.trial, "utf8")) as Pick<
    WriteOptions,
    "recipe" | "seed" | "parameters" | "weightsHash"
  >;
  const live = process.stderr.isTTY === true;
  const written = await writeText(
    openEngine(),
    {
      ...trial,
      start: options.start ?? null,
      length: wholeNumber("--length", options.length, 100_000),
      temperature: Number(options.temperature),
      threads: availableParallelism(),
    },
    (epoch, epochs) => {
      if (live) process.stderr.write(`\rtraining again: epoch ${epoch} of ${epochs}${epoch === epochs ? "\n" : ""}`);
    },
  );
  for (const warning of written.warnings) process.stderr.write(`convsweep: ${warning}\n`);
  if (options.json) printJson(written);
  else print(`${written.text}\n`);
  return 0;
}

interface PredictCommand {
  readonly kept: string;
  readonly top: string;
  readonly json?: boolean;
}

async function label(images: readonly string[], { kept, top, json }: PredictCommand): Promise<number> {
  const read = (path: string, name: string): Buffer => {
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new ConvsweepError("BAD_INPUT", `it cannot be read: ${toConvsweepError(cause).message}`, {
        path: name,
        cause,
      });
    }
  };
  const predictions = await predict(openEngine(), {
    images: images.map((path) => ({ path, bytes: read(path, path) })),
    weights: read(join(kept, "weights.safetensors"), "--kept"),
    beside: read(join(kept, "weights-recipe.json"), "--kept").toString("utf8"),
    top: wholeNumber("--top", top, 256),
    threads: availableParallelism(),
  });
  for (const prediction of predictions) {
    if (json) printJson(prediction);
    else print(describePrediction(prediction));
  }
  return 0;
}

/** Runs one command and answers its exit code. */
async function run(argv: readonly string[]): Promise<number> {
  let code = 0;
  const program = new Command("convsweep-worker")
    .description("Holds leases of a coordinator and trains them on this machine's devices.")
    .version(PROGRAM_VERSION)
    .exitOverride()
    .showHelpAfterError();
  program
    .command("join", { isDefault: true })
    .description("join a coordinator and train what it assigns")
    .requiredOption("--coordinator <host:port>", "where the coordinator listens for workers")
    .option("--token-file <file>", "file that holds the worker token (default: the one in --identity)")
    .option("--identity <file>", "what `convsweep certs issue` wrote for this machine: for a coordinator elsewhere")
    .option("--ca <file>", "the authority's certificate (default: the one in --identity)")
    .option("--insecure-plaintext", "talk to another machine without TLS: anyone on the way can read the token")
    .option("--name <name>", "name that the worker keeps over restarts (default: host name and process number)")
    .option("--devices <list>", "devices to use, with commas between; cuda for every GPU", "cpu")
    .option("--lanes <n>", "trials at once on each device, or auto", "auto")
    .option("--threads <n>", "threads of all devices together (default: one a core)")
    .option("--memory <size>", "memory of each device that trials may take, for example 8GiB (default: all it has)")
    .option("--data <dir>", "folder of data sets (default: CONVSWEEP_DATA, else ~/.cache/convsweep/data)")
    .option(
      "--checkpoint-every <seconds>",
      "save each trial at most this often, so that another worker can go on",
      "10",
    )
    .option(
      "--spool <dir>",
      "folder for reports until they are on record (default: CONVSWEEP_SPOOL, else ~/.cache/convsweep/spool)",
    )
    .option("--log-level <level>", `one of ${LOG_LEVELS.join(", ")}`, "info")
    .option("--with-parent", "leave when standard input ends: with the process that holds its other end")
    .action(async (options: JoinOptions) => {
      code = await joinFleet(options);
    });
  program
    .command("devices")
    .description("list this machine's devices")
    .option("--json", "print one JSON object")
    .option("--check <list>", "only say which of these cannot be used, and why; exit code 2 if any")
    .action(async (options: DevicesCommand) => {
      code = await listDevices(options);
    });
  program
    .command("probe")
    .description("measure a recipe: memory a lane, images a second with 1 lane and with many")
    .requiredOption("--recipe <file>", "a recipe as JSON; - for standard input")
    .option("--device <id>", "the device to measure", "cpu")
    .option("--lanes <n>", "how many is many, or auto", "auto")
    .option("--threads <n>", "threads to use (default: one a core)")
    .option("--json", "print one JSON object")
    .action((options: ProbeCommand) => {
      code = probeRecipe(options);
    });
  program
    .command("write")
    .description("train a trial of a character network again and print what it writes")
    .requiredOption("--trial <file>", "recipe, seed, parameters and weightsHash of the trial as JSON")
    .option("--start <text>", "go on from these characters")
    .option("--length <n>", "characters to write", "400")
    .option("--temperature <t>", "0 takes the likeliest character each time", "0.8")
    .option("--json", "print one JSON object")
    .action(async (options: WriteCommand) => {
      code = await write(options);
    });
  program
    .command("predict")
    .description("label image files with kept weights")
    .argument("<images...>", "PNG or JPEG files")
    .requiredOption("--kept <dir>", "folder with weights.safetensors and weights-recipe.json")
    .option("--top <n>", "classes to name", "5")
    .option("--json", "print a JSON object an image")
    .action(async (images: string[], options: PredictCommand) => {
      code = await label(images, options);
    });
  program
    .command("data")
    .description("list, fetch or check data sets")
    .allowUnknownOption()
    .helpOption(false)
    .argument("[args...]", "see data --help")
    .action(async (args: string[]) => {
      const interrupted = new AbortController();
      process.once("SIGINT", () => interrupted.abort());
      code = await dataCommand(args, processIo(interrupted.signal));
    });
  await program.parseAsync(argv, { from: "user" });
  return code;
}

function exitCodeOf(thrown: unknown): number {
  // Commander has printed its own message or the help that was asked for.
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2;
  const error = engineError(thrown);
  const where = error.path === null ? "" : `${error.path}: `;
  const wanted =
    error.expected === null
      ? ""
      : `; expected ${error.expected}${error.found === null ? "" : `, found ${error.found}`}`;
  process.stderr.write(`convsweep: ${where}${error.message}${wanted}\n`);
  if (error.code === "INTERNAL" && error.cause instanceof Error) process.stderr.write(`${error.cause.stack ?? ""}\n`);
  return ["INTERNAL", "UNAVAILABLE", "ENGINE_INTERNAL", "ENGINE_DEVICE_LOST"].includes(error.code) ? 70 : 2;
}

endOnCrash();
// As the command line does: whatever is written is its owner's alone unless a file says otherwise.
process.umask(0o077);

// Whoever reads the output may have had enough (`| head`): that is no fault.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 70));

// The end does not wait for sockets or threads: whatever had to be said has been said.
run(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (thrown: unknown) => process.exit(exitCodeOf(thrown)),
);
