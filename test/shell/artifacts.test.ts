/** Files of trials, from a worker's client over real sockets into the store's folder and out again to the page. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { readToken } from "../../coordinator/shell/credentials.js";
import { CheckpointClient } from "../../worker/checkpoint-client.js";
import { SPEC, start } from "./fixture.js";
import { ScriptedWorker } from "./scripted-worker.js";

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** A coordinator, a trial that trains, and the client of its worker. */
async function training() {
  const { coordinator, storeDir } = await start();
  await coordinator.submitSweep({ ...SPEC, runCap: 1 });
  const worker = ScriptedWorker.of(storeDir, coordinator.grpcAddress);
  await worker.link();
  const { attempt, token } = await worker.next("assign");
  await worker.durable(worker.started({ attempt, token }));
  const address = coordinator.grpcAddress;
  const client = new CheckpointClient({ address, token: readToken(`${storeDir}/worker.token`), retryMillis: [] });
  onTestFinished(() => client.close());
  const link = new URL(coordinator.dashboardUrl);
  const login = await fetch(link, { redirect: "manual" });
  const cookie = (login.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  const ask = (path: string, headers: Record<string, string> = { cookie }): Promise<Response> =>
    fetch(new URL(path, link), { headers });
  return { storeDir, worker, client, held: { attempt, token }, ask };
}

const picture = (fill: number) => ({
  name: "samples",
  mediaType: "image/png",
  epoch: 1,
  data: new Uint8Array(700_000).fill(fill),
});

describe("an artifact", () => {
  it("is kept by its digest, on record once the worker says so, and served under the page's session", async () => {
    const { storeDir, worker, client, held, ask } = await training();
    const artifact = picture(7);
    const kept = await client.uploadArtifact(held, artifact);
    const digest = sha256(artifact.data);
    expect(kept).toEqual({ name: "samples", mediaType: "image/png", epoch: 1, digest, bytes: 700_000 });
    expect(sha256(readFileSync(join(storeDir, "artifacts", digest.slice(0, 2), digest)))).toBe(digest);
    const trial = `/api/trials/${held.attempt.split("#", 1)[0]}`;
    expect(await (await ask(trial)).json()).toMatchObject({ artifacts: [] });

    await worker.durable(worker.send({ $case: "artifactSaved", value: { ...held, ...kept } }));
    const { artifacts } = (await (await ask(trial)).json()) as { artifacts: { id: number }[] };
    expect(artifacts).toMatchObject([{ name: "samples", epoch: 1, digest, attempt: held.attempt }]);
    const path = `/artifacts/${artifacts[0]?.id}`;
    const answer = await ask(path);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("image/png");
    expect(answer.headers.get("content-disposition")).toBe('inline; filename="samples-1.png"');
    expect(answer.headers.get("content-security-policy")).toContain("sandbox");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(sha256(new Uint8Array(await answer.arrayBuffer()))).toBe(digest);
    expect((await ask(path, {})).status).toBe(401);
    expect((await ask("/artifacts/99")).status).toBe(404);
    expect((await ask("/artifacts/../convsweep.db")).status).toBe(404);
  });

  it("of the same name and epoch takes the place of the one before", async () => {
    const { worker, client, held, ask } = await training();
    for (const fill of [1, 2, 2]) {
      const kept = await client.uploadArtifact(held, picture(fill));
      await worker.durable(worker.send({ $case: "artifactSaved", value: { ...held, ...kept } }));
    }
    const answer = await ask(`/api/trials/${held.attempt.split("#", 1)[0]}`);
    const { artifacts } = (await answer.json()) as { artifacts: { digest: string }[] };
    expect(artifacts.map(({ digest }) => digest)).toEqual([sha256(picture(2).data)]);
  });

  it("that is a program to a browser is handed over as a file", async () => {
    const { worker, client, held, ask } = await training();
    const page = { name: "page", mediaType: "text/html", epoch: 0, data: Buffer.from("<script>alert(1)</script>") };
    const kept = await client.uploadArtifact(held, page);
    await worker.durable(worker.send({ $case: "artifactSaved", value: { ...held, ...kept } }));
    const answer = await ask("/artifacts/1");
    expect(answer.headers.get("content-disposition")).toBe('attachment; filename="page.html"');
    expect(answer.headers.get("content-security-policy")).toBe("sandbox; default-src 'none'");
  });

  it("of a stale token, or too large, is refused", async () => {
    const { client, held } = await training();
    await expect(client.uploadArtifact({ ...held, token: held.token + 1 }, picture(1))).rejects.toThrow(
      /not the current/,
    );
    const large = { ...picture(1), data: new Uint8Array((64 << 20) + 1) };
    await expect(client.uploadArtifact(held, large)).rejects.toThrow(/too large/);
  });
});
