/** deploy/: what can be checked without systemd, Slurm, Docker or a cluster: syntax, and that every verb and option exists. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { cliMain, root } from "../e2e/program.js";

const read = (file: string): string => readFileSync(join(root, "deploy", file), "utf8");

function helpOf(verb: string): string {
  return spawnSync(process.execPath, [cliMain, verb, "--help"], { encoding: "utf8" }).stdout;
}

function expectOptions(verb: string, text: string): void {
  const help = helpOf(verb);
  const given = [...text.matchAll(/ (--[a-z][a-z-]*)/g)].map(([, option]) => option ?? "");
  expect(given.length).toBeGreaterThan(1);
  for (const option of given) expect(help, `${verb} ${option}`).toContain(`${option} `);
}

const hasVerify = spawnSync("systemd-analyze", ["--version"]).status === 0;

describe("deploy/", () => {
  it.each([
    ["systemd/convsweep.service", "up"],
    ["systemd/convsweep-worker.service", "worker"],
  ])("%s starts a verb with options that there are", (file, verb) => {
    const start = /^ExecStart=\/opt\/convsweep\/convsweep (\S+)(.*)$/m.exec(read(file));
    expect(start?.[1]).toBe(verb);
    expectOptions(verb, start?.[2] ?? "");
  });

  it.runIf(hasVerify).each(["systemd/convsweep.service", "systemd/convsweep-worker.service"])(
    "systemd-analyze finds nothing wrong with %s",
    (file) => {
      const { stdout, stderr } = spawnSync("systemd-analyze", ["verify", join(root, "deploy", file)], {
        encoding: "utf8",
      });
      const said = `${stdout}${stderr}`.split("\n").filter((line) => line.includes("convsweep"));
      // The program is not installed here.
      expect(said.filter((line) => !line.includes("/opt/convsweep/convsweep is not executable"))).toEqual([]);
    },
  );

  it("slurm/worker.sbatch is a script, with options that there are", () => {
    expect(spawnSync("bash", ["-n", join(root, "deploy/slurm/worker.sbatch")]).status).toBe(0);
    expectOptions("worker", /exec "\$1" worker([\s\S]*)$/.exec(read("slurm/worker.sbatch"))?.[1] ?? "");
  });

  it("kubernetes/worker.yaml is a deployment, with options that there are", () => {
    const deployment = parse(read("kubernetes/worker.yaml")) as {
      kind: string;
      spec: {
        template: {
          spec: { containers: { args: string[]; volumeMounts: { name: string }[] }[]; volumes: { name: string }[] };
        };
      };
    };
    expect(deployment.kind).toBe("Deployment");
    const { containers, volumes } = deployment.spec.template.spec;
    const [worker] = containers;
    expect(worker?.args[0]).toBe("worker");
    expectOptions("worker", ` ${worker?.args.join(" ")}`);
    expect(worker?.volumeMounts.map(({ name }) => name)).toEqual(volumes.map(({ name }) => name));
  });

  it("Dockerfile copies, exposes and starts what there is", () => {
    const text = read("Dockerfile");
    expect(text).toMatch(/^EXPOSE 7440 7441$/m);
    expect(text).toMatch(/^ENTRYPOINT \["\/opt\/convsweep\/convsweep"\]$/m);
    expect(helpOf("up")).toContain("start the coordinator");
    for (const [, file] of text.matchAll(/run (examples\/\S+)/g)) expect(existsSync(join(root, file ?? ""))).toBe(true);
    for (const script of ["build"]) expect(readFileSync(join(root, "package.json"), "utf8")).toContain(`"${script}":`);
  });
});
