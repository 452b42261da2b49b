import { describe, expect, it } from "vitest";
import { capacityFor } from "../../worker/capacity.js";
import type { SessionSize } from "../../worker/engine.js";

// As on the host: 10 bytes a lane, workspaces of 100, one a thread where there are as many lanes as threads.
const planSession = ({ lanes, threads }: SessionSize) => ({
  bytesPerLane: 10,
  bytesShared: lanes >= threads ? 100 * threads : 100,
  bytesDataset: 0,
  bytesFree: 100_000,
});
const size = (lanes: number, threads: number): SessionSize => ({ recipe: "{}", device: "cpu", lanes, threads });

describe("lanes that fit into a memory", () => {
  it("are as many as are left beside a workspace a thread", () => {
    expect(capacityFor({ planSession }, size(8, 4), 480)).toEqual({ lanes: 8, bytes: 480 });
    expect(capacityFor({ planSession }, size(8, 4), 479)).toEqual({ lanes: 7, bytes: 470 });
    expect(capacityFor({ planSession }, size(8, 4), 440)).toEqual({ lanes: 4, bytes: 440 });
  });

  it("are fewer than threads, with one workspace, where a workspace a thread leaves too little", () => {
    expect(capacityFor({ planSession }, size(8, 4), 439)).toEqual({ lanes: 3, bytes: 130 });
    expect(capacityFor({ planSession }, size(64, 64), 150)).toEqual({ lanes: 5, bytes: 150 });
    expect(capacityFor({ planSession }, size(2, 4), 115)).toEqual({ lanes: 1, bytes: 110 });
    expect(capacityFor({ planSession }, size(1, 1), 110)).toEqual({ lanes: 1, bytes: 110 });
  });

  it("are none where not even one has room, and the message says what one takes", () => {
    expect(() => capacityFor({ planSession }, size(64, 64), 109)).toThrow(
      "one lane takes 0.0 MiB, and 0.0 MiB are left of the memory that cpu may use",
    );
  });
});
