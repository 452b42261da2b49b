/** `convsweep doctor`: looks at everything a sweep needs on this machine and says plainly what is wrong and what to do. */
import { accessSync, constants, existsSync, statfsSync } from "node:fs";
import { createServer } from "node:net";
import { dirname } from "node:path";
import type { Command } from "commander";
import { DEFAULT_PORTS, toConvsweepError } from "../../proto/contract.js";
import { examineStore, type StoreFinding } from "../store/examine.js";
import { runQuery } from "../store/query.js";
import { findRunning, openClient } from "./connect.js";
import { type Context, contextOf } from "./context.js";
import { formatBytes } from "./format.js";
import { captureWorkerProgram } from "./worker-process.js";

type Finding = StoreFinding;

const LOW_DISK = 1024 ** 3;

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("check this machine: Node, engine, devices, store, ports")
    .option("--database", "read every page of the store's database instead; also while a coordinator runs")
    .addHelpText(
      "after",
      "\nExit code 1 when something is bad, 65 when the database is.\n\nExamples:\n  convsweep doctor\n  convsweep doctor --database",
    )
    .action(async (options: { readonly database?: true }, command: Command) => {
      const context = contextOf(command);
      let bad = false;
      const say = (finding: Finding): void => {
        bad ||= finding.verdict === "bad";
        print(context, finding);
      };
      if (options.database) {
        for (const finding of examineStore(context.options.store)) say(finding);
        process.exitCode = bad ? 65 : 0;
        return;
      }
      for (const check of [node, engine, store, disk, coordinator, data]) {
        say(
          await check(context).catch(
            (error: unknown): Finding => ({
              what: check.name,
              verdict: "bad",
              detail: toConvsweepError(error).message,
            }),
          ),
        );
      }
      process.exitCode = bad ? 1 : 0;
    });
}

function print({ output }: Context, finding: Finding): void {
  if (output.json) return output.data(finding);
  const mark = {
    ok: output.paint.green("ok     "),
    warning: output.paint.yellow("warning"),
    bad: output.paint.red("bad    "),
  };
  output.line(
    `${mark[finding.verdict]}  ${finding.what.padEnd(11)}  ${finding.detail.replaceAll("\n", `\n${" ".repeat(22)}`)}`,
  );
}

async function node(): Promise<Finding> {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const verdict = major > 20 || (major === 20 && minor >= 19) ? (major < 22 ? "warning" : "ok") : "bad";
  const detail = {
    ok: "",
    warning: "; works, but Node 20 gets no more security fixes: 22 or 24 is better",
    bad: "; 20.19 or newer is needed",
  };
  return { what: "node", verdict, detail: `${process.version}${detail[verdict]}` };
}

async function engine(): Promise<Finding> {
  const [detail, json] = await Promise.all([
    captureWorkerProgram(["devices"]),
    captureWorkerProgram(["devices", "--json"]),
  ]);
  const { devices, cuda } = JSON.parse(json) as {
    readonly devices: readonly { readonly unusable: string | null }[];
    readonly cuda: { readonly driverCuda: string | null; readonly nvmlTrouble: string | null };
  };
  const useless = devices.filter((device) => device.unusable !== null).length;
  // Without a driver nobody means to use a GPU here.
  const trouble = cuda.driverCuda !== null && (useless > 0 || cuda.nvmlTrouble !== null);
  const verdict = useless === devices.length ? "bad" : trouble ? "warning" : "ok";
  return { what: "engine", verdict, detail: detail.trimEnd() };
}

async function store(context: Context): Promise<Finding> {
  const dir = context.options.store;
  if (!existsSync(`${dir}/convsweep.db`))
    return { what: "store", verdict: "ok", detail: `${dir}: nothing recorded yet` };
  accessSync(dir, constants.R_OK | constants.W_OK);
  const answer = await runQuery(
    dir,
    "SELECT (SELECT count(*) FROM sweeps), (SELECT count(*) FROM trials), (SELECT count(*) FROM reports)",
    [],
  );
  const [sweeps, trials, reports] = answer.rows[0] ?? [];
  return {
    what: "store",
    verdict: "ok",
    detail: `${dir}: ${sweeps} sweeps, ${trials} trials, ${reports} reported values`,
  };
}

async function disk(context: Context): Promise<Finding> {
  let dir = context.options.store;
  while (!existsSync(dir) && dirname(dir) !== dir) dir = dirname(dir);
  const { bavail, bsize } = statfsSync(dir);
  const free = bavail * bsize;
  return { what: "disk", verdict: free < LOW_DISK ? "warning" : "ok", detail: `${formatBytes(free)} free at ${dir}` };
}

async function coordinator(context: Context): Promise<Finding> {
  const running = await findRunning(context.options.store);
  if (running) {
    const client = openClient(context, running);
    try {
      const status = await client.getStatus();
      return {
        what: "coordinator",
        verdict: "ok",
        detail: `running, version ${status.version}, at ${running.grpc}, process ${status.pid}`,
      };
    } finally {
      client.close();
    }
  }
  const taken = [];
  for (const port of [DEFAULT_PORTS.grpc, DEFAULT_PORTS.http]) if (!(await isFree(port))) taken.push(port);
  if (taken.length === 0) return { what: "coordinator", verdict: "ok", detail: "none running; its ports are free" };
  return {
    what: "coordinator",
    verdict: "warning",
    detail: `none running for this store, but port ${taken.join(" and ")} is taken by another program`,
  };
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

async function data(): Promise<Finding> {
  const { folder, datasets } = JSON.parse(await captureWorkerProgram(["data", "list", "--json"])) as {
    readonly folder: string;
    readonly datasets: readonly { readonly name: string; readonly state: string }[];
  };
  const present = datasets.filter((set) => set.state !== "missing").map((set) => set.name);
  return { what: "data", verdict: "ok", detail: `${present.join(", ")} (folder ${folder})` };
}
