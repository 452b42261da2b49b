/**
 * Hosts on one machine: a network namespace each, joined to the first by a veth pair, for tests of what crosses a network.
 * Needs root and iproute2; `available` says so.
 */
import { spawnSync } from "node:child_process";

function ip(...args: string[]): void {
  const result = spawnSync("ip", args, { encoding: "utf8" });
  if (result.status !== 0) throw new Error(`ip ${args.join(" ")}: ${result.stderr}`);
}

/** Why namespaces cannot be made here, or `null` if they can. */
export function namespacesUnavailable(): string | null {
  if (process.getuid?.() !== 0) return "needs root to make network namespaces";
  const name = `cvs-probe-${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
  if (made.error) return "needs iproute2 (`ip`)";
  if (made.status !== 0) return `cannot make a network namespace: ${made.stderr.trim()}`;
  spawnSync("ip", ["netns", "del", name]);
  return null;
}

export interface Host {
  readonly namespace: string;
  readonly address: string;
  readonly hubAddress: string;
  readonly link: string;
  /** The hub's end of it. */
  readonly hubLink: string;
}

export class Network {
  readonly hub = `cvs-${process.pid}-hub`;
  private readonly spokes: string[] = [];

  constructor() {
    ip("netns", "add", this.hub);
    ip("-n", this.hub, "link", "set", "lo", "up");
  }

  /**
   * A host with a link of its own to the hub; answers the namespace's name, its address and the hub's on that link, and
   * the names of both ends.
   */
  addHost(): Host {
    const index = this.spokes.length + 1;
    const namespace = `cvs-${process.pid}-${index}`;
    const [near, far] = [`h${process.pid % 100_000}-${index}`, `s${process.pid % 100_000}-${index}`];
    const hubAddress = `10.77.${index}.1`;
    ip("netns", "add", namespace);
    this.spokes.push(namespace);
    ip("link", "add", near, "type", "veth", "peer", "name", far);
    ip("link", "set", near, "netns", this.hub);
    ip("link", "set", far, "netns", namespace);
    ip("-n", this.hub, "addr", "add", `${hubAddress}/24`, "dev", near);
    ip("-n", this.hub, "link", "set", near, "up");
    ip("-n", namespace, "addr", "add", `10.77.${index}.2/24`, "dev", far);
    ip("-n", namespace, "link", "set", far, "up");
    ip("-n", namespace, "link", "set", "lo", "up");
    return { namespace, address: `10.77.${index}.2`, hubAddress, link: far, hubLink: near };
  }

  close(): void {
    for (const name of [...this.spokes, this.hub]) spawnSync("ip", ["netns", "del", name]);
  }
}
