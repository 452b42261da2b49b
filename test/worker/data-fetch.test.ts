import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DOWNLOAD_DEFAULTS, type DownloadOptions, download } from "../../worker/data/download.js";
import { fetchDataset } from "../../worker/data/fetch.js";
import { withLock } from "../../worker/data/lock.js";
import { unpackTarGz } from "../../worker/data/tar.js";
import {
  describeDownload,
  failure,
  type Member,
  noise,
  publishedIdx,
  publishedRecords,
  recordFile,
  smallIdx,
  tarFile,
  temporaryFolder,
} from "./data-files.js";

/** Answers one request of a mirror. `from` is the first byte the client asks for. */
type Answer = (response: ServerResponse, bytes: Buffer, from: number, request: IncomingMessage) => void;

let server: Server;
let base: string;
/** Paths to what they serve; each request takes the next answer, the last one for ever. */
let mirrors: Map<string, { bytes: Buffer; answers: Answer[] }>;
let requests: string[];

beforeEach(async () => {
  mirrors = new Map();
  requests = [];
  server = createServer((request, response) => {
    const path = request.url ?? "";
    const { range } = request.headers;
    requests.push(range === undefined ? path : `${path} ${range}`);
    const mirror = mirrors.get(path);
    const answer = mirror && (mirror.answers.length > 1 ? mirror.answers.shift() : mirror.answers[0]);
    const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
    if (mirror === undefined || answer === undefined) response.writeHead(404).end("no");
    else answer(response, mirror.bytes, from, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function serve(path: string, bytes: Buffer, ...answers: Answer[]): string {
  mirrors.set(path, { bytes, answers: answers.length > 0 ? answers : [good] });
  return base + path;
}

const good: Answer = (response, bytes, from) => {
  const rest = bytes.subarray(from);
  const headers = { "content-length": rest.length };
  if (from === 0) response.writeHead(200, headers);
  else response.writeHead(206, { ...headers, "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
  response.end(rest);
};
const ignoresRange: Answer = (response, bytes, _from, request) => good(response, bytes, 0, request);
/** Promises all, sends `count` bytes more, cuts the connection once they have left. */
const cutAfter =
  (count: number): Answer =>
  (response, bytes, from) => {
    const length = { "content-length": bytes.length - from };
    if (from === 0) response.writeHead(200, length);
    else response.writeHead(206, { ...length, "content-range": `bytes ${from}-${bytes.length - 1}/${bytes.length}` });
    response.write(bytes.subarray(from, from + count), () => setImmediate(() => response.destroy()));
  };
const status =
  (code: number): Answer =>
  (response) => {
    response.writeHead(code).end();
  };
/** Sends a little, then nothing more. */
const silent: Answer = (response, bytes) => {
  response.writeHead(200, { "content-length": bytes.length });
  response.write(bytes.subarray(0, 100));
};

const file = noise(300_000, 1);
const troubles: string[] = [];

function options(change: Partial<DownloadOptions> = {}): DownloadOptions {
  troubles.length = 0;
  return {
    ...DOWNLOAD_DEFAULTS,
    backoffMillis: () => 0,
    onTrouble: (text) => troubles.push(text),
    ...change,
  };
}

describe("download", () => {
  it("puts the file in place, alone, with its checksum", async () => {
    const path = join(temporaryFolder(), "below", "f.gz");
    const seen: number[] = [];
    const what = describeDownload("f.gz", file, [serve("/f.gz", file)]);
    await download(what, path, options({ onProgress: ({ received }) => seen.push(received) }));
    expect(readFileSync(path)).toEqual(file);
    expect(readdirSync(join(path, ".."))).toEqual(["f.gz"]);
    expect(seen.at(-1)).toBe(file.length);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    await download(what, path, options());
    expect(requests).toHaveLength(1);
  });

  it("goes on where a connection was cut, as often as it is cut", async () => {
    const path = join(temporaryFolder(), "f.gz");
    const url = serve("/f.gz", file, cutAfter(100_000), cutAfter(100_000), good);
    await download(describeDownload("f.gz", file, [url]), path, options());
    expect(readFileSync(path)).toEqual(file);
    expect(requests[0]).toBe("/f.gz");
    expect(requests.slice(1).every((request) => /^\/f\.gz bytes=[1-9]/.test(request))).toBe(true);
    expect(troubles[0]).toMatch(/going on from byte [1-9]/);
  });

  it("goes on from what an earlier process left, at another mirror", async () => {
    const path = join(temporaryFolder(), "f.gz");
    writeFileSync(`${path}.part`, file.subarray(0, 123_456));
    const urls = [serve("/a", file, status(503)), serve("/b", file)];
    await download(describeDownload("f.gz", file, urls), path, options());
    expect(requests).toEqual(["/a bytes=123456-", "/b bytes=123456-"]);
    expect(readFileSync(path)).toEqual(file);
  });

  it("uses a whole part with no request, and drops one that is too long", async () => {
    const path = join(temporaryFolder(), "f.gz");
    const what = describeDownload("f.gz", file, [serve("/f.gz", file)]);
    writeFileSync(`${path}.part`, file);
    await download(what, path, options());
    expect(requests).toEqual([]);
    const other = join(temporaryFolder(), "f.gz");
    writeFileSync(`${other}.part`, Buffer.concat([file, file]));
    await download(what, other, options());
    expect(requests).toEqual(["/f.gz"]);
    expect(readFileSync(other)).toEqual(file);
  });

  it("starts anew where a server ignores the range", async () => {
    const path = join(temporaryFolder(), "f.gz");
    writeFileSync(`${path}.part`, file.subarray(0, 1000));
    await download(describeDownload("f.gz", file, [serve("/f.gz", file, ignoresRange)]), path, options());
    expect(readFileSync(path)).toEqual(file);
  });

  it("starts anew where what was there before was wrong", async () => {
    const path = join(temporaryFolder(), "f.gz");
    writeFileSync(`${path}.part`, noise(1000, 99));
    await download(describeDownload("f.gz", file, [serve("/f.gz", file)]), path, options());
    expect(requests).toEqual(["/f.gz bytes=1000-", "/f.gz"]);
    expect(readFileSync(path)).toEqual(file);
  });

  it("leaves a mirror with a wrong checksum, a 404, a wrong length or a wrong range for the next one", async () => {
    const path = join(temporaryFolder(), "f.gz");
    writeFileSync(`${path}.part`, file.subarray(0, 10));
    const wrongRange: Answer = (response, bytes) => {
      response.writeHead(206, { "content-range": `bytes 0-9/${bytes.length}` }).end(bytes.subarray(0, 10));
    };
    const wrongLength: Answer = (response, bytes) => {
      response.writeHead(200, { "content-length": bytes.length - 1 }).end(bytes.subarray(1));
    };
    const coded: Answer = (response, bytes) => {
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(bytes));
    };
    const urls = [
      serve("/gone", file, status(404)),
      serve("/range", file, wrongRange),
      serve("/length", file, wrongLength),
      serve("/coded", file, coded),
      serve("/page", Buffer.from("<html>sign in</html>"), ignoresRange),
      serve("/other", noise(file.length, 2), ignoresRange),
      serve("/good", file),
    ];
    await download(describeDownload("f.gz", file, urls), path, options());
    expect(readFileSync(path)).toEqual(file);
    expect(troubles.map((text) => text.slice(base.length + 1))).toEqual([
      "gone: answered 404 (Not Found)",
      `range: expected bytes 10 to the end of 300000, answered range "bytes 0-9/300000"`,
      "length: expected 300000 bytes, its Content-Length says 299999",
      "coded: answered in content encoding gzip",
      "page: expected 300000 bytes, its Content-Length says 20",
      expect.stringMatching(/^other: the file put together from several tries has a wrong checksum; starting anew/),
      expect.stringMatching(/^other: wrong checksum: expected MD5 [0-9a-f]{32}, found [0-9a-f]{32}/),
    ]);
  });

  it("drops a body that is longer than the file", async () => {
    const path = join(temporaryFolder(), "f.gz");
    const endless: Answer = (response, bytes) => {
      response.writeHead(200);
      response.write(bytes);
      response.end(bytes);
    };
    const urls = [serve("/endless", file, endless), serve("/good", file)];
    await download(describeDownload("f.gz", file, urls), path, options());
    expect(troubles[0]).toContain("sends more");
    expect(requests).toEqual(["/endless", "/good"]);
  });

  it("gives up on silence, and keeps what came before it", async () => {
    const path = join(temporaryFolder(), "f.gz");
    const url = serve("/f.gz", file, silent, good);
    await download(describeDownload("f.gz", file, [url]), path, options({ idleMillis: 200 }));
    expect(requests).toEqual(["/f.gz", "/f.gz bytes=100-"]);
    expect(troubles[0]).toContain("silent for 0.2 s; going on from byte 100");
  });

  it("lists every address and reason when all fail, and tries passing troubles again", async () => {
    const path = join(temporaryFolder(), "f.gz");
    const urls = [
      serve("/gone", file, status(404)),
      serve("/busy", file, status(503)),
      "http://127.0.0.1:1/closed",
      serve("/other", noise(file.length, 2)),
    ];
    const rounds: number[] = [];
    const backoffMillis = (round: number): number => {
      rounds.push(round);
      return 0;
    };
    const error = await failure(
      download(describeDownload("f.gz", file, urls), path, options({ rounds: 3, backoffMillis })),
    );
    expect(error.code).toBe("UNAVAILABLE");
    for (const why of ["404", "503", "connection failed", "wrong checksum", `it belongs at ${path}.`]) {
      expect(error.message).toContain(why);
    }
    expect(requests).toEqual(["/gone", "/busy", "/other", "/busy", "/busy"]);
    expect(rounds).toEqual([1, 2]);
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });

  it("stops when told to, keeping the part", async () => {
    const path = join(temporaryFolder(), "f.gz");
    const stop = new AbortController();
    const what = describeDownload("f.gz", file, [serve("/f.gz", file, silent)]);
    const onProgress = (): void => stop.abort();
    const error = await failure(download(what, path, options({ signal: stop.signal, onProgress })));
    expect(error.message).toContain("interrupted");
    expect(readFileSync(`${path}.part`)).toEqual(file.subarray(0, 100));
    expect(existsSync(`${path}.lock`)).toBe(false);
  });

  it("is done by one process at a time; the lock of a dead one is taken over", async () => {
    const lock = join(temporaryFolder(), "f.lock");
    await withLock(lock, async () => {
      expect((await failure(withLock(lock, async () => {}))).code).toBe("CONFLICT");
    });
    writeFileSync(lock, "4194999\n");
    expect(await withLock(lock, async () => 7)).toBe(7);
    expect(existsSync(lock)).toBe(false);
  });
});

describe("unpacking", () => {
  const wanted = [{ member: "set/a.bin", file: "set/a.bin", bytes: 700 }];
  const sound: Member = { name: "set/a.bin", data: noise(700, 1) };

  async function unpack(members: readonly Member[] | Buffer): Promise<string> {
    const folder = temporaryFolder("in");
    const archive = join(folder, "..", "archive.tar.gz");
    writeFileSync(archive, gzipSync(Buffer.isBuffer(members) ? members : tarFile(members)));
    await unpackTarGz(archive, folder, wanted, 1 << 20);
    return folder;
  }

  it("takes the wanted files and nothing else", async () => {
    const folder = await unpack([
      { name: "set/", data: Buffer.alloc(0), flag: "5" },
      { name: "./set/readme.html", data: noise(513, 2) },
      { ...sound, name: "./set//a.bin" },
    ]);
    expect(readFileSync(join(folder, "set/a.bin"))).toEqual(sound.data);
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual(["set", "set/a.bin"]);
  });

  it.each<[string, Member]>([
    ["a name that leads upwards", { name: "../a.bin", data: noise(3, 1) }],
    ["a name that leads upwards within", { name: "set/../../a.bin", data: noise(3, 1) }],
    ["a name that leads up and down again", { name: "set/../set/a.bin", data: noise(700, 1) }],
    ["an absolute name", { name: "/tmp/a.bin", data: noise(3, 1) }],
    ["a drive's name", { name: "C:a.bin", data: noise(3, 1) }],
    ["a backslash", { name: "set\\..\\a.bin", data: noise(3, 1) }],
    ["a symbolic link", { name: "set", data: Buffer.alloc(0), flag: "2", link: "/tmp" }],
    ["a hard link", { name: "set/a.bin", data: Buffer.alloc(0), flag: "1", link: "/etc/passwd" }],
    ["a device", { name: "set/a.bin", data: Buffer.alloc(0), flag: "3" }],
    ["a GNU long name", { name: "././@LongLink", data: noise(120, 1), flag: "L" }],
    ["a sparse file", { name: "set/a.bin", data: noise(700, 1), flag: "S" }],
    ["the wrong size", { name: "set/a.bin", data: noise(699, 1) }],
  ])("refuses %s", async (_what, member) => {
    const folder = temporaryFolder("in");
    const error = await failure(unpack([member, sound]));
    expect(error.code).toBe("CORRUPT");
    expect(error.message).toMatch(/archive\.tar\.gz \(unpacked\), byte \d+: expected/);
    expect(readdirSync(folder)).toEqual([]);
  });

  it("refuses a second copy, a missing file, and more than it may hold", async () => {
    expect((await failure(unpack([sound, sound]))).message).toContain("expected set/a.bin once");
    expect((await failure(unpack([]))).message).toContain("expected set/a.bin in the archive");
    expect((await failure(unpack([{ name: "big", data: Buffer.alloc(2 << 20) }]))).message).toContain(
      "at most 1048576",
    );
  });

  it("refuses a damaged header or a cut archive with the byte, leaving no half file", async () => {
    const tar = tarFile([sound]);
    const damaged = Buffer.from(tar);
    damaged[3] = (damaged[3] ?? 0) ^ 1;
    expect((await failure(unpack(damaged))).message).toContain("byte 148: expected the header's checksum");
    for (const cut of [0, 100, 512, 900]) {
      const folder = temporaryFolder("in");
      const archive = join(folder, "..", "archive.tar.gz");
      writeFileSync(archive, gzipSync(tar.subarray(0, cut)));
      const error = await failure(unpackTarGz(archive, folder, wanted, 1 << 20));
      expect(error.path).toBe(`${archive} (unpacked):byte ${cut}`);
      expect(readdirSync(folder, { recursive: true }).filter((name) => String(name).includes("a.bin"))).toEqual([]);
    }
  });

  it("refuses damaged gzip", async () => {
    const folder = temporaryFolder("in");
    const archive = join(folder, "..", "archive.tar.gz");
    const packed = gzipSync(tarFile([sound]));
    writeFileSync(archive, packed.subarray(0, packed.length / 2));
    expect((await failure(unpackTarGz(archive, folder, wanted, 1 << 20))).code).toBe("CORRUPT");
  });
});

describe("fetching a set", () => {
  it("gets the four files of an IDX set, each from its mirror, and nothing a second time", async () => {
    const dir = temporaryFolder();
    const files = smallIdx();
    const set = publishedIdx(files, gzipSync, (name) => [`${base}/first/${name}`, `${base}/second/${name}`]);
    for (const { file: name } of set.downloads) {
      const key = (["trainImages", "trainLabels", "testImages", "testLabels"] as const).find(
        (candidate) => `${set.files[candidate].file}.gz` === name,
      );
      if (key !== undefined) serve(`/second/${name}`, gzipSync(files[key]));
    }
    const first = await fetchDataset(set, dir, options());
    expect(first.folder).toBe(join(dir, "mnist"));
    expect(first.downloaded).toBe(set.downloads.reduce((sum, { bytes }) => sum + bytes, 0));
    expect(requests).toHaveLength(8);
    expect((await fetchDataset(set, dir, options())).downloaded).toBe(0);
    expect(requests).toHaveLength(8);
    expect(readdirSync(first.folder).sort()).toEqual(set.downloads.map(({ file: name }) => name).sort());
  });

  it("unpacks an archive, drops it, and goes on from an archive that was not unpacked yet", async () => {
    const train = recordFile([[1], [2]], 1);
    const test = recordFile([[3]], 9);
    const archive = gzipSync(
      tarFile([
        { name: "cifar-10-batches-bin/data_batch_1.bin", data: train },
        { name: "cifar-10-batches-bin/readme.html", data: Buffer.from("<html>") },
        { name: "cifar-10-batches-bin/test_batch.bin", data: test },
      ]),
    );
    const set = publishedRecords(train, test, archive, [serve("/cifar.tar.gz", archive)]);
    const dir = temporaryFolder();
    const first = await fetchDataset(set, dir, options());
    expect(first.downloaded).toBe(archive.length);
    expect(readdirSync(dir, { recursive: true }).map(String).sort()).toEqual([
      "cifar-10-batches-bin",
      "cifar-10-batches-bin/data_batch_1.bin",
      "cifar-10-batches-bin/test_batch.bin",
    ]);
    expect(readFileSync(join(first.folder, "data_batch_1.bin"))).toEqual(train);
    expect((await fetchDataset(set, dir, options())).downloaded).toBe(0);

    const half = temporaryFolder();
    writeFileSync(join(half, "cifar-10-binary.tar.gz"), archive);
    mkdirSync(join(half, "cifar-10-batches-bin"));
    writeFileSync(join(half, "cifar-10-batches-bin", "data_batch_1.bin"), train.subarray(0, 100));
    await fetchDataset(set, half, options());
    expect(readFileSync(join(half, "cifar-10-batches-bin", "data_batch_1.bin"))).toEqual(train);
    expect(requests).toEqual(["/cifar.tar.gz"]);
  });
});
