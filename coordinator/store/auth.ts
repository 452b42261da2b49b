/**
 * auth.db: which tokens and certificates were given out, and which of them no longer count.
 *
 * Guarantees: a file of its own beside the record, so that no query, export or backup of the record reaches it; only the
 * owner can read it; of a token there is only its SHA-256 (256 random bits need no slow hash). Several processes may
 * write it, each change is one commit; `changed` says cheaply whether another one did. Not here: what a role may do
 * (shell/authorize.ts), making tokens (shell/credentials.ts) and certificates (shell/authority.ts).
 */
import { closeSync, existsSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { ConvsweepError } from "../../proto/contract.js";

/** `cvsa` */
const APPLICATION_ID = 0x63767361;
const VERSION = 1;

const SCHEMA = `
CREATE TABLE IF NOT EXISTS tokens (
  id TEXT PRIMARY KEY,
  role TEXT NOT NULL,
  digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
  note TEXT NOT NULL,
  -- Serial of the only certificate it counts with; NULL for any.
  certificate TEXT,
  created_at INTEGER NOT NULL,
  expires_at INTEGER,
  revoked_at INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS certificates (
  serial TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  role TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  expires_at INTEGER NOT NULL,
  revoked_at INTEGER
) STRICT;
PRAGMA user_version = ${VERSION};
PRAGMA application_id = ${APPLICATION_ID};
`;

export interface TokenRecord {
  /** Eight characters, also part of the token: what people and logs call it. */
  readonly id: string;
  readonly role: string;
  readonly digest: Buffer;
  readonly note: string;
  readonly certificate: string | null;
  /** Milliseconds of the wall clock, here and below. */
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}

export interface CertificateRecord {
  /** Hexadecimal, capitals, as Node shows it. */
  readonly serial: string;
  readonly name: string;
  readonly role: string;
  readonly createdAt: number;
  readonly expiresAt: number;
  readonly revokedAt: number | null;
}

interface TokenRow {
  id: string;
  role: string;
  digest: Buffer;
  note: string;
  certificate: string | null;
  created_at: number;
  expires_at: number | null;
  revoked_at: number | null;
}

interface CertificateRow {
  serial: string;
  name: string;
  role: string;
  created_at: number;
  expires_at: number;
  revoked_at: number | null;
}

/** One that was revoked before keeps its time. */
const REVOKE = "SET revoked_at = coalesce(revoked_at, ?)";

export class AuthStore {
  readonly #db: Database.Database;
  #seen: number;

  /** Opens the file in a store's folder, making it where there is none. */
  constructor(storeDir: string) {
    const path = join(storeDir, "auth.db");
    if (!existsSync(path)) closeSync(openSync(path, "a", 0o600));
    const mode = statSync(path).mode & 0o077;
    if (mode !== 0) {
      throw new ConvsweepError("FORBIDDEN", `others may read or write ${path}: \`chmod 600 ${path}\``, {
        path,
        expected: "mode 600",
        found: `mode ${(statSync(path).mode & 0o777).toString(8)}`,
      });
    }
    this.#db = new Database(path, { timeout: 5_000 });
    try {
      const id = Number(this.#db.pragma("application_id", { simple: true }));
      const version = Number(this.#db.pragma("user_version", { simple: true }));
      if ((id !== 0 && id !== APPLICATION_ID) || version > VERSION) {
        throw new ConvsweepError("CORRUPT", `${path} is of another program or of a newer version`, { path });
      }
      this.#db.pragma("synchronous = FULL");
      this.#db.pragma("trusted_schema = OFF");
      if (id === 0) this.#db.exec(SCHEMA);
    } catch (thrown) {
      this.#db.close();
      if (thrown instanceof ConvsweepError) throw thrown;
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      throw new ConvsweepError("CORRUPT", `cannot open ${path}: ${why}`, { path, cause: thrown });
    }
    this.#seen = this.#version();
  }

  tokens(): readonly TokenRecord[] {
    const rows = this.#db.prepare<[], TokenRow>("SELECT * FROM tokens ORDER BY created_at, id").all();
    return rows.map((row) => ({
      id: row.id,
      role: row.role,
      digest: row.digest,
      note: row.note,
      certificate: row.certificate,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
      revokedAt: row.revoked_at,
    }));
  }

  addToken(token: Omit<TokenRecord, "revokedAt">): void {
    const sql =
      "INSERT INTO tokens (id, role, digest, note, certificate, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)";
    this.#db
      .prepare(sql)
      .run(token.id, token.role, token.digest, token.note, token.certificate, token.createdAt, token.expiresAt);
  }

  /** False if there is no such token; one that was revoked before keeps its time. */
  revokeToken(id: string, at: number): boolean {
    return this.#db.prepare(`UPDATE tokens ${REVOKE} WHERE id = ?`).run(at, id).changes > 0;
  }

  certificates(): readonly CertificateRecord[] {
    const rows = this.#db.prepare<[], CertificateRow>("SELECT * FROM certificates ORDER BY created_at, serial").all();
    return rows.map((row) => ({
      serial: row.serial,
      name: row.name,
      role: row.role,
      createdAt: row.created_at,
      expiresAt: row.expires_at,
      revokedAt: row.revoked_at,
    }));
  }

  addCertificate(certificate: Omit<CertificateRecord, "revokedAt">): void {
    const { serial, name, role, createdAt, expiresAt } = certificate;
    this.#db
      .prepare("INSERT INTO certificates (serial, name, role, created_at, expires_at) VALUES (?, ?, ?, ?, ?)")
      .run(serial, name, role, createdAt, expiresAt);
  }

  /** With the tokens that count only with it. False if there is no such certificate. */
  revokeCertificate(serial: string, at: number): boolean {
    return this.#db.transaction(() => {
      this.#db.prepare(`UPDATE tokens ${REVOKE} WHERE certificate = ?`).run(at, serial);
      return this.#db.prepare(`UPDATE certificates ${REVOKE} WHERE serial = ?`).run(at, serial).changes > 0;
    })();
  }

  /** Another connection has written since the last time this was asked. */
  changed(): boolean {
    const version = this.#version();
    if (version === this.#seen) return false;
    this.#seen = version;
    return true;
  }

  close(): void {
    this.#db.close();
  }

  #version(): number {
    return Number(this.#db.pragma("data_version", { simple: true }));
  }
}
