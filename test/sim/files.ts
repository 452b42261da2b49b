/**
 * Files of saved lanes beside the store: durable when an upload is answered, gone when the core no longer counts on them.
 * Now and then one is bad when it is asked for.
 */
import type { CheckpointRef } from "../../worker/messages.js";
import { mix, type Stream } from "./random.js";
import type { World } from "./surroundings.js";

export class Files {
  readonly #world: World;
  readonly #random: Stream;
  /** Digest -> trial. */
  readonly #kept = new Map<string, string>();
  #uploads = 0;

  constructor(world: World, random: Stream) {
    this.#world = world;
    this.#random = random;
  }

  upload(worker: number, attempt: string, epoch: number): CheckpointRef | null {
    if (!this.#reachable(worker) || this.#world.diskFull) return null;
    this.#uploads += 1;
    const digest = mix(this.#uploads).toString(16).padStart(8, "0").repeat(8);
    this.#kept.set(digest, attempt.slice(0, attempt.indexOf("#")));
    return { epoch, digest, bytes: 1 };
  }

  download(worker: number, digest: string): boolean {
    return this.#reachable(worker) && this.#kept.has(digest) && !this.#random.chance(this.#world.plan.badFiles);
  }

  keep(trial: string, digests: readonly string[]): void {
    for (const [digest, owner] of this.#kept) {
      if (owner === trial && !digests.includes(digest)) this.#kept.delete(digest);
    }
  }

  #reachable(worker: number): boolean {
    const world = this.#world;
    return world.coordinator !== null && !world.partitioned(worker, "up") && !world.partitioned(worker, "down");
  }
}
