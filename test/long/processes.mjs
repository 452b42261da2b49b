/** The built program as load and measurements start it: a folder of its own, a coordinator in it, commands on it. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text as bodyOf } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

const cli = fileURLToPath(new URL("../../dist/coordinator/cli/main.js", import.meta.url));
/** Flags for Node with which `./convsweep` starts the program. */
const usualFlags = (() => {
  const script = readFileSync(new URL("../../convsweep", import.meta.url), "utf8");
  return (/^exec node (.*) "\$main"/m.exec(script)?.[1] ?? "").split(" ").filter((flag) => flag !== "");
})();

export const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

/** Seconds of processor time and bytes of memory of a process so far. */
export function usage(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, rss: Number(rss) * 1024 };
}

/** Load of the machine over the last minute. */
export const machineLoad = () => Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]);

export class Site {
  /** `within`: where the folder is made; default the system's for temporary files. */
  constructor(within = tmpdir()) {
    mkdirSync(within, { recursive: true });
    this.folder = mkdtempSync(join(within, "convsweep-load-"));
    this.store = join(this.folder, "store");
    this.environment = { ...process.env, CONVSWEEP_STORE: this.store, NO_COLOR: "1" };
    this.coordinator = null;
  }

  /** Runs a verb to its end; answers what it printed. */
  async command(...args) {
    const child = spawn(process.execPath, [cli, ...args], {
      env: this.environment,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (part) => {
      text += part;
    });
    const code = await new Promise((resolve) => child.once("close", resolve));
    if (code !== 0) throw new Error(`convsweep ${args.join(" ")} ended with ${code}`);
    return text;
  }

  /** `nodeFlags` before the program, after its usual ones; `more` after `up`. Answers where it listens. */
  async up({ nodeFlags = [], more = [], listen = "127.0.0.1:0" } = {}) {
    const args = [
      ...usualFlags,
      ...nodeFlags,
      cli,
      "up",
      "--listen",
      listen,
      "--page",
      "127.0.0.1:0",
      "--json",
      ...more,
    ];
    const child = spawn(process.execPath, args, { env: this.environment, stdio: ["ignore", "pipe", "inherit"] });
    this.coordinator = child;
    child.closed = new Promise((resolve) => child.once("close", resolve));
    let up = null;
    for await (const line of createInterface({ input: child.stdout })) {
      const event = JSON.parse(line);
      if (event.event !== "up") continue;
      up = { address: String(event.grpc), page: String(event.page) };
      break;
    }
    if (up === null) throw new Error("the coordinator ended");
    child.stdout.resume();
    return up;
  }

  /** Submits a sweep that nothing but its size tells from another; `more` goes into the file. */
  async submit(more) {
    const file = join(this.folder, "sweep.json");
    const sweep = {
      name: "load",
      network: "logit",
      dataset: "synthetic-digits",
      epochs: 1,
      method: "random",
      run_cap: 1_000_000,
      parameters: { learning_rate: { distribution: "log_uniform_values", min: 1e-3, max: 0.1 } },
      ...more,
    };
    writeFileSync(file, JSON.stringify(sweep));
    await this.command("run", file, "--detach");
  }

  /** A login link that nobody has used. */
  async freshLink() {
    return JSON.parse(await this.command("page", "--json")).page;
  }

  /** A histogram of the coordinator's metrics: how many were at most each bound, in seconds. */
  async histogram(page, name) {
    const token = readFileSync(join(this.store, "admin.token"), "utf8").trim();
    const headers = { authorization: `Bearer ${token}` };
    const text = await this.#read(new URL("/metrics", page), headers);
    const lines = text.matchAll(new RegExp(`^${name}_bucket\\{le="([^"]+)"\\} (\\d+)$`, "gm"));
    return new Map([...lines].map(([, bound, n]) => [Number(bound.replace("+Inf", "Infinity")), Number(n)]));
  }

  /** Over TLS the page shows a certificate of the store's own authority. */
  #read(url, headers) {
    const secure = url.protocol === "https:";
    const ca = secure ? readFileSync(join(this.store, "certs", "ca.pem")) : undefined;
    return new Promise((resolve, reject) => {
      const request = (secure ? https : http).get(url, { headers, ca }, (response) => resolve(bodyOf(response)));
      request.on("error", reject);
    });
  }

  workerToken() {
    return readFileSync(join(this.store, "worker.token"), "utf8").trim();
  }

  /** SIGKILL; resolves once the process is gone. */
  async kill() {
    this.coordinator?.kill("SIGKILL");
    await this.coordinator?.closed;
  }

  /** Ends the coordinator, in good order where it can, and removes the folder. */
  async remove() {
    if (this.coordinator) {
      this.coordinator.kill("SIGTERM");
      await Promise.race([this.coordinator.closed, sleep(10_000)]);
      this.coordinator.kill("SIGKILL");
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}
