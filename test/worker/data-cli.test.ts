import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkDataset } from "../../worker/data/check.js";
import { type DataIo, dataCommand } from "../../worker/data/cli.js";
import { loadDataset } from "../../worker/data/load.js";
import { meter, size } from "../../worker/data/meter.js";
import { PUBLISHED, type PublishedDataset } from "../../worker/data/publishers.js";
import { datasetSpec, publishedIdx, smallIdx, temporaryFolder } from "./data-files.js";

const files = smallIdx();
let server: Server;
let set: ReturnType<typeof publishedIdx>;

beforeEach(async () => {
  server = createServer((request, response) => {
    const name = request.url?.slice(1);
    const key = (["trainImages", "trainLabels", "testImages", "testLabels"] as const).find(
      (candidate) => `${set.files[candidate].file}.gz` === name,
    );
    if (key === undefined) response.writeHead(404).end();
    else response.end(gzipSync(files[key]));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  set = publishedIdx(files, gzipSync, (name) => [`http://127.0.0.1:${port}/${name}`]);
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

async function data(dir: string, ...args: readonly string[]) {
  let out = "";
  let err = "";
  const datasets: Record<string, PublishedDataset> = { mnist: set };
  const io: DataIo = {
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    terminal: false,
    env: { CONVSWEEP_DATA: dir },
    signal: null,
    datasets,
    download: { idleMillis: 5_000, rounds: 1, backoffMillis: () => 0 },
  };
  const code = await dataCommand(args, io);
  return { code, out, err };
}

describe("data list, fetch, check", () => {
  it("say what is missing, get it, and find it right", async () => {
    const dir = temporaryFolder();
    const before = await data(dir, "list");
    expect([before.code, before.out]).toEqual([
      0,
      expect.stringMatching(/mnist +missing +`convsweep data fetch mnist`/),
    ]);
    expect((await data(dir, "check", "mnist")).code).toBe(1);
    expect((await data(dir, "check")).code).toBe(0);

    const fetched = await data(dir, "fetch", "mnist");
    expect([fetched.code, fetched.out]).toEqual([0, expect.stringMatching(/^mnist: fetched .* in .*mnist\n$/)]);
    expect(fetched.err).toContain("train-images-idx3-ubyte.gz: 100 %");
    expect((await data(dir, "fetch", "all")).out).toContain("is there already");

    const listed = JSON.parse((await data(dir, "list", "--json")).out);
    expect(listed.datasets[0]).toMatchObject({ name: "mnist", state: "present", folder: join(dir, "mnist") });
    expect(listed.datasets.at(-1)).toMatchObject({ name: "synthetic-digits", state: "generated" });
    const checked = JSON.parse((await data(dir, "check", "mnist", "--json")).out);
    expect(checked.datasets).toEqual([
      {
        name: "mnist",
        state: "ok",
        folder: join(dir, "mnist"),
        messages: [],
        digest: expect.stringMatching(/^sha256:/),
      },
    ]);
    const loaded = await loadDataset(datasetSpec("mnist", 6, 4), dir, () => {
      throw new Error("not generated");
    });
    expect(checked.datasets[0].digest).toBe(loaded.digest);
  });

  it("warn of sound files that are not the publisher's", async () => {
    const dir = temporaryFolder();
    const folder = join(dir, "mnist");
    mkdirSync(folder);
    const other = smallIdx(5);
    for (const key of ["trainImages", "trainLabels", "testImages", "testLabels"] as const) {
      writeFileSync(join(folder, set.files[key].file), other[key]);
    }
    const { code, out } = await data(dir, "check", "mnist");
    expect(code).toBe(0);
    expect(out).toContain("mnist            warning");
    expect(out.match(/sizes and labels fine, checksum differs from the publisher's/g)).toHaveLength(2);
    const unsummed: PublishedDataset = {
      ...set,
      files: { ...set.files, trainImages: { ...set.files.trainImages, sha256: null } },
    };
    const { messages } = await checkDataset(unsummed, dir);
    expect(messages.join("\n")).toContain("training images' mean differs from the published one");
  });

  it("name a wrong file and byte, with exit code 1", async () => {
    const dir = temporaryFolder();
    await data(dir, "fetch", "mnist");
    writeFileSync(join(dir, "mnist", "t10k-labels-idx1-ubyte.gz"), gzipSync(files.testImages));
    const { code, out } = await data(dir, "check");
    expect(code).toBe(1);
    expect(out).toMatch(
      /mnist +wrong[\s\S]*t10k-labels-idx1-ubyte\.gz \(unpacked\), byte 3: expected the magic number 0x00000801/,
    );
    const json = JSON.parse((await data(dir, "check", "--json")).out);
    expect(json.datasets[0]).toMatchObject({ state: "wrong", digest: null });
  });

  it("fail with the reason when nothing answers", async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    const { code, err, out } = await data(temporaryFolder(), "fetch", "mnist", "--json");
    expect(code).toBe(1);
    expect(err).toContain("connection failed (ECONNREFUSED)");
    expect(JSON.parse(out).datasets[0]).toMatchObject({
      name: "mnist",
      state: "failed",
      error: { code: "UNAVAILABLE" },
    });
    server.listen(0);
  });

  it.each([
    [[], ""],
    [["frob"], "no such command: data frob"],
    [["fetch"], "data fetch needs a name"],
    [["fetch", "imagenet"], 'no files belong to a data set "imagenet"'],
    [["check", "synthetic-digits"], "it is generated and needs no files"],
    [["list", "--jsn"], "--jsn"],
  ])("answer %j with exit code 2 and how to use it", async (args, text) => {
    const { code, err, out } = await data("/nowhere", ...args);
    expect([code, out]).toEqual([2, ""]);
    expect(err).toContain(text);
  });

  it("help on request", async () => {
    const { code, out } = await data("/nowhere", "fetch", "--help");
    expect([code, out]).toEqual([0, expect.stringContaining("example: convsweep data fetch mnist")]);
  });
});

describe("the meter", () => {
  it("rewrites one line on a terminal, with rate and time left", () => {
    let text = "";
    let now = 0;
    const shown = meter(
      (part) => {
        text += part;
      },
      true,
      () => now,
    );
    shown.show("f.gz", 0, 10_000_000);
    now = 2_000;
    shown.show("f.gz", 4_000_000, 10_000_000);
    now = 2_001;
    shown.show("f.gz", 4_000_001, 10_000_000);
    shown.end();
    expect(text.split("\r\u001b[K").slice(1)).toEqual([
      "f.gz  0 %  0 B of 10.0 MB  0 B/s  ",
      "f.gz  40 %  4.0 MB of 10.0 MB  2.0 MB/s  3 s left\n",
    ]);
  });

  it.each([
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 kB"],
    [9_912_422, "9.9 MB"],
    [170_052_171, "170 MB"],
    [999_999, "1.0 MB"],
  ])("writes %i bytes as %s", (bytes, text) => {
    expect(size(bytes)).toBe(text);
  });
});

const real = process.env["CONVSWEEP_DATA"];
describe.runIf(real !== undefined)("real files in CONVSWEEP_DATA", () => {
  it("are MNIST, byte for byte the publisher's", async () => {
    const result = await checkDataset(PUBLISHED.mnist, real ?? "");
    expect(result).toMatchObject({ state: "ok", messages: [] });
    const { arrays } = await loadDataset(datasetSpec("mnist", 60_000, 10_000), real ?? "", () => {
      throw new Error("not generated");
    });
    // The first labels as shown on the publisher's page and in every tutorial.
    expect([...arrays.trainLabels.subarray(0, 10)]).toEqual([5, 0, 4, 1, 9, 2, 1, 3, 1, 4]);
    expect([...arrays.testLabels.subarray(0, 10)]).toEqual([7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
  }, 60_000);
});

if (real === undefined) process.stderr.write("SKIPPED: loaders on real MNIST (set CONVSWEEP_DATA to its folder)\n");
it.skipIf(real !== undefined)("real MNIST: SKIPPED, set CONVSWEEP_DATA to the folder that holds it", ({ skip }) => {
  skip("CONVSWEEP_DATA is not set: the loaders were tried on small generated files only");
});
