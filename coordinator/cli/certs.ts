/** `convsweep certs init|issue|renew|list|revoke`: the store's own certificate authority. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { ConvsweepError } from "../../proto/contract.js";
import { ROLES, type Role, writeSecretFile } from "../shell/credentials.js";
import { makeStoreFolder } from "../store/open.js";
import { type Context, contextOf, parseCount } from "./context.js";
import { formatTable } from "./format.js";

interface IssueOptions {
  readonly role: Role;
  readonly days?: number;
  readonly out?: string;
}

interface HostOptions {
  readonly host: readonly string[];
  readonly days?: number;
}

/** Loaded by these verbs alone: the library takes a quarter of a second. */
const certsModule = () => import("../shell/certs.js");

const common = (context: Context, days: number | undefined) => ({
  storeDir: context.options.store,
  now: Date.now(),
  ...(days === undefined ? {} : { days }),
});

export function addCerts(program: Command): void {
  const certs = program
    .command("certs")
    .description("certificates for a coordinator that other machines reach")
    .addHelpText(
      "after",
      `
On the coordinator's machine:
  convsweep certs init --host gpu-head.example     # once; its addresses are in anyway
  convsweep certs issue gpu1                       # writes gpu1.pem: give it to that machine
  convsweep up --listen 0.0.0.0:7440
On the other:
  convsweep worker --coordinator gpu-head.example:7440 --identity gpu1.pem`,
    );

  certs
    .command("init")
    .description("make an authority, the server's certificate and this machine's own identity")
    .option("--host <name>", "a further name or address it is reached under; may be repeated", collect, [])
    .option("--days <n>", "how long the server's certificate lasts (default: 365)", parseDays)
    .action(async ({ host, days }: HostOptions, command: Command) => {
      const context = contextOf(command);
      const { initCertificates } = await certsModule();
      makeStoreFolder(context.options.store);
      sayNames(context, await initCertificates(common(context, days), host));
    });

  certs
    .command("issue")
    .description("write the identity of another machine or person: certificate, key and token in one file")
    .argument("<name>", "what to call it, such as the host's name")
    .addOption(new Option("--role <role>", "what it may do").choices(ROLES).default("worker"))
    .option("--days <n>", "how long it lasts (default: 365)", parseDays)
    .option("--out <file>", "where it goes; must not exist (default: NAME.pem)")
    .action(async (name: string, { role, days, out }: IssueOptions, command: Command) => {
      const context = contextOf(command);
      const file = resolve(out ?? `${name}.pem`);
      if (existsSync(file)) throw new ConvsweepError("CONFLICT", `${file} exists`, { path: "--out" });
      const { issueIdentity } = await certsModule();
      writeSecretFile(file, `${await issueIdentity(common(context, days), name, role)}\n`);
      if (context.output.json) context.output.data({ name, role, file });
      else {
        context.output.line(`${file}: the identity of ${name}, role ${role}`);
        context.output.line("Whoever has this file is let in: copy it over SSH, then delete it here.");
      }
    });

  certs
    .command("renew")
    .description("make the server's certificate and this machine's identity anew; a running coordinator takes them up")
    .option("--host <name>", "a further name or address it is reached under; may be repeated", collect, [])
    .option("--days <n>", "how long the server's certificate lasts (default: 365)", parseDays)
    .addHelpText(
      "after",
      "\nFor another machine's, `certs issue` again and `certs revoke` the old serial when it is in use.",
    )
    .action(async ({ host, days }: HostOptions, command: Command) => {
      const context = contextOf(command);
      const { renewServer } = await certsModule();
      sayNames(context, await renewServer(common(context, days), host));
    });

  certs
    .command("list")
    .description("every certificate that was issued")
    .action(async (_options: object, command: Command) => {
      const context = contextOf(command);
      const { listCertificates } = await certsModule();
      const now = Date.now();
      const rows = (await listCertificates(context.options.store)).map((one) => ({
        name: one.name,
        role: one.role,
        serial: one.serial,
        expires: new Date(one.expiresAt).toISOString().slice(0, 10),
        state: one.revokedAt !== null ? "revoked" : one.expiresAt <= now ? "expired" : "valid",
      }));
      if (context.output.json) for (const row of rows) context.output.data(row);
      else {
        const columns = ["name", "role", "serial", "expires", "state"] as const;
        const table = formatTable(
          columns.map((title) => ({ title, align: "left" })),
          rows.map((row) => columns.map((column) => row[column])),
        );
        for (const line of table) context.output.line(line);
      }
    });

  certs
    .command("revoke")
    .description("shut a machine out: its certificate and the token that came with it")
    .argument("<name|serial>", "every valid certificate of that name, or one by its serial")
    .action(async (which: string, _options: object, command: Command) => {
      const context = contextOf(command);
      const { revokeCertificate } = await certsModule();
      const serials = await revokeCertificate(common(context, undefined), which);
      if (context.output.json) context.output.data({ revoked: serials });
      else context.output.line(`revoked: ${serials.join(", ")}; a running coordinator ends its connections at once`);
    });
}

function sayNames(context: Context, names: readonly string[]): void {
  if (context.output.json) context.output.data({ names });
  else context.output.line(`the server's certificate is for ${names.join(", ")}`);
}

const collect = (value: string, before: readonly string[]): readonly string[] => [...before, value];

const parseDays = parseCount("--days", 1, 3_650);
