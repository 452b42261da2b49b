/**
 * What every verb shares: the global options, where the store is, how the program is called in what it prints.
 * Not here: any verb.
 */
import { homedir } from "node:os";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { ConvsweepError, LIMITS } from "../../proto/contract.js";
import type { TlsFiles } from "../../proto/tls.js";
import { makeOutput, type Output } from "./output.js";

interface GlobalOptions {
  readonly json: boolean;
  readonly store: string;
  /** `null`: the one on this machine that serves the store. */
  readonly coordinator: string | null;
  readonly tokenFile: string | null;
  readonly tlsFiles: TlsFiles;
  readonly insecurePlaintext: boolean;
}

export interface Context {
  readonly output: Output;
  readonly options: GlobalOptions;
  /** How people started this program: `convsweep`, or `./convsweep` in a checkout. */
  readonly command: string;
}

/** `--store`, CONVSWEEP_STORE, or the data folder of the XDG specification. */
export function defaultStore(environment: NodeJS.ProcessEnv): string {
  const named = environment["CONVSWEEP_STORE"];
  if (named) return resolve(named);
  return join(environment["XDG_DATA_HOME"] || join(homedir(), ".local", "share"), "convsweep");
}

export function addGlobalOptions(program: Command): void {
  program
    .option("--json", "write JSON, one value a line")
    .option("--store <dir>", "folder of the database (default: $CONVSWEEP_STORE or ~/.local/share/convsweep)")
    .option(
      "--coordinator <host:port>",
      "a coordinator elsewhere (default: the one that serves the store)",
      parseAddress,
    )
    .option(
      "--token-file <file>",
      "access token for --coordinator (default: the one in --identity, or the store's own)",
    )
    .option("--identity <file>", "what `certs issue` wrote for this machine: for a coordinator elsewhere")
    .option("--ca <file>", "the authority's certificate (default: the one in --identity)")
    .option("--insecure-plaintext", "speak to other machines without TLS: anyone on the way can read the tokens");
}

export function contextOf(command: Command): Context {
  const raw = command.optsWithGlobals<Record<string, unknown>>();
  const text = (name: string): string | null => (typeof raw[name] === "string" ? raw[name] : null);
  const options: GlobalOptions = {
    json: raw["json"] === true,
    store: text("store") === null ? defaultStore(process.env) : resolve(text("store") ?? "."),
    coordinator: text("coordinator"),
    tokenFile: text("tokenFile"),
    tlsFiles: { ca: text("ca"), identity: text("identity") },
    insecurePlaintext: raw["insecurePlaintext"] === true,
  };
  return { output: makeOutput(options.json), options, command: commandName() };
}

function commandName(): string {
  const root = fileURLToPath(new URL("../../../", import.meta.url));
  return relative(root, process.cwd()) === "" ? "./convsweep" : "convsweep";
}

/** A whole number from the command line, or BAD_INPUT naming the option. */
export function parseCount(name: string, least = 1, most: number = LIMITS.trialsPerSweep): (text: string) => number {
  return (text) => {
    const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : -1;
    if (value < least || value > most) {
      const expected = `a whole number from ${least} to ${most}`;
      throw new ConvsweepError("BAD_INPUT", `${name}: expected ${expected}, found \`${text}\``, {
        path: name,
        expected,
        found: text,
      });
    }
    return value;
  };
}

/** Lanes of a local worker's device: `auto` or a number; the worker program takes them as text. */
export function parseLanes(text: string): string {
  return text === "auto" ? text : String(parseCount("--lanes", 1, 65_536)(text));
}

/** `HOST:PORT` of a coordinator elsewhere. */
export function parseAddress(text: string): string {
  const match = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[1] ?? 0);
  if (port < 1 || port > 65_535) {
    throw new ConvsweepError(
      "BAD_INPUT",
      `--coordinator: expected HOST:PORT such as 10.0.0.5:7440, found \`${text}\``,
      {
        path: "--coordinator",
        expected: "HOST:PORT",
        found: text,
      },
    );
  }
  return text;
}

/** A sweep's number as people type it. */
export function parseSweepNumber(text: string): number {
  if (!/^[1-9][0-9]{0,14}$/.test(text)) {
    throw new ConvsweepError("BAD_INPUT", `expected a sweep's number such as 3, found \`${text}\``, {
      expected: "a sweep's number",
      found: text,
    });
  }
  return Number(text);
}
