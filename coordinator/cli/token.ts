/** `convsweep token create|list|revoke`: access for people and programs, by role. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import { ConvsweepError } from "../../proto/contract.js";
import { digest, newToken, ROLES, type Role, writeSecretFile } from "../shell/credentials.js";
import { AuthStore } from "../store/auth.js";
import { makeStoreFolder } from "../store/open.js";
import { type Context, contextOf, parseCount } from "./context.js";
import { formatTable } from "./format.js";

interface CreateOptions {
  readonly role: Role;
  readonly days?: number;
  readonly note: string;
  readonly out: string;
}

export function addToken(program: Command): void {
  const token = program
    .command("token")
    .description("tokens of access to the coordinator of this machine's store")
    .addHelpText(
      "after",
      `
Roles: admin does everything; submit starts, changes and reads sweeps; read reads; worker joins and trains, no more.
A running coordinator notices a new or revoked token within a second.

Examples:
  convsweep token create --role read --days 30 --note "Ann's notebook" --out ann.token
  convsweep token list
  convsweep token revoke 4fGh2kLm`,
    );

  token
    .command("create")
    .description("write a new token to a file that only you can read")
    .addOption(new Option("--role <role>", "what it may do").choices(ROLES).makeOptionMandatory())
    .option("--days <n>", "how long it counts (default: until revoked)", parseCount("--days", 1, 3_650))
    .option("--note <text>", "who it is for", "")
    .requiredOption("--out <file>", "where it goes; must not exist")
    .action(({ role, days, note, out }: CreateOptions, command: Command) => {
      const context = contextOf(command);
      const file = resolve(out);
      if (existsSync(file)) throw new ConvsweepError("CONFLICT", `${file} exists`, { path: "--out" });
      const now = Date.now();
      const made = newToken(role);
      writeSecretFile(file, `${made.token.expose()}\n`);
      makeStoreFolder(context.options.store);
      withAuth(context, (auth) =>
        auth.addToken({
          id: made.id,
          role,
          digest: digest(made.token.expose()),
          note,
          certificate: null,
          createdAt: now,
          expiresAt: days === undefined ? null : now + days * 86_400_000,
        }),
      );
      if (context.output.json) context.output.data({ id: made.id, role, file });
      else context.output.line(`${file}: token ${made.id}, role ${role}`);
    });

  token
    .command("list")
    .description("every token that was given out, without the tokens themselves")
    .action((_options: object, command: Command) => {
      const context = contextOf(command);
      const now = Date.now();
      const day = (at: number | null): string => (at === null ? "-" : new Date(at).toISOString().slice(0, 10));
      const rows = withAuth(context, (auth) => auth.tokens()).map((one) => ({
        id: one.id,
        role: one.role,
        made: day(one.createdAt),
        expires: day(one.expiresAt),
        state: one.revokedAt !== null ? "revoked" : (one.expiresAt ?? now + 1) <= now ? "expired" : "valid",
        note: one.note,
      }));
      if (context.output.json) for (const row of rows) context.output.data(row);
      else {
        const columns = ["id", "role", "made", "expires", "state", "note"] as const;
        const table = formatTable(
          columns.map((title) => ({ title, align: "left" })),
          rows.map((row) => columns.map((column) => row[column])),
        );
        for (const line of table) context.output.line(line);
      }
    });

  token
    .command("revoke")
    .description(
      "a token counts no more; what is open with it is ended. The store's own are made anew at the next start",
    )
    .argument("<id>", "as `token list` shows it")
    .action((id: string, _options: object, command: Command) => {
      const context = contextOf(command);
      if (!withAuth(context, (auth) => auth.revokeToken(id, Date.now()))) {
        throw new ConvsweepError("NOT_FOUND", `there is no token ${id}; \`token list\` names them`, { path: "ID" });
      }
      if (context.output.json) context.output.data({ revoked: id });
      else context.output.line(`revoked: ${id}`);
    });
}

function withAuth<T>(context: Context, action: (auth: AuthStore) => T): T {
  if (!existsSync(context.options.store)) {
    throw new ConvsweepError("NOT_FOUND", `there is no store in ${context.options.store}`, { path: "--store" });
  }
  const auth = new AuthStore(context.options.store);
  try {
    return action(auth);
  } finally {
    auth.close();
  }
}
