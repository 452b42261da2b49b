/**
 * Tokens: who may ask for what.
 *
 * Guarantees: a token is `cvs_ROLE_ID_SECRET` with 32 random bytes of secret; of each only the SHA-256 is kept, in
 * auth.db, and compared in constant time. The first start makes an admin and a worker token in files that only their
 * owner can read; a token file that others can read is refused, by the coordinator and by every client. Expired and
 * revoked tokens do not count; a revocation by another process is noticed within `REFRESH_MILLIS`. Authentication cannot
 * be switched off. Not here: browsers (logins.ts), what a role may do (authorize.ts).
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { ConvsweepError, millis } from "../../proto/contract.js";
import { checkPrivate } from "../../proto/private-file.js";
import { Secret } from "../../proto/secret.js";
import type { AuthStore, TokenRecord } from "../store/auth.js";
import type { Clock } from "./clock.js";

export const ROLES = ["admin", "submit", "read", "worker"] as const;
export type Role = (typeof ROLES)[number];

/** Who asks: never the secret. */
export interface Caller {
  readonly id: string;
  readonly role: Role;
}

export const REFRESH_MILLIS = 1_000;

const TOKEN = /^cvs_(admin|submit|read|worker)_(?:([A-Za-z0-9]{8})_)?([A-Za-z0-9_-]{43})$/;

export const isRole = (text: string): text is Role => (ROLES as readonly string[]).includes(text);

export const tokenFile = (storeDir: string, role: "admin" | "worker"): string => join(storeDir, `${role}.token`);

export class Credentials {
  readonly #store: AuthStore;
  readonly #clock: Clock;
  readonly #onChange = new Set<() => void>();
  #tokens = new Map<string, TokenRecord>();
  #revokedCertificates: ReadonlySet<string> = new Set();
  #cancel: () => void = () => {};

  /** Reads auth.db, and makes the two token files where they are absent or hold a token that was revoked. */
  constructor(storeDir: string, store: AuthStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
    this.#load();
    for (const role of ["admin", "worker"] as const) this.#ensureFile(storeDir, role);
    this.#watch();
  }

  /** Whose `Bearer ...` it is; `certificate` is the serial of the client's, if it showed one. `null`: nobody's. */
  callerOf(authorization: string | undefined, certificate: string | null): Caller | null {
    const token = /^Bearer ([\x21-\x7e]{1,128})$/i.exec(authorization ?? "")?.[1];
    if (token === undefined) return null;
    const given = digest(token);
    const key = given.toString("hex");
    // Made a moment ago by another process, perhaps.
    if (!this.#tokens.has(key) && this.#store.changed()) this.#load();
    const record = this.#tokens.get(key);
    // Found by its digest, which says nothing about the secret; compared once more without a shortcut.
    if (record === undefined || !timingSafeEqual(given, record.digest)) return null;
    if (record.certificate !== null && record.certificate !== certificate) return null;
    return this.#counts(record) && isRole(record.role) ? { id: record.id, role: record.role } : null;
  }

  /** False once the token of `id` is revoked or expired. */
  isCurrent(id: string): boolean {
    for (const record of this.#tokens.values()) if (record.id === id) return this.#counts(record);
    return false;
  }

  isRevokedCertificate(serial: string): boolean {
    return this.#revokedCertificates.has(serial);
  }

  /** Calls `listener` at least whenever something may have ceased to count. */
  onChange(listener: () => void): void {
    this.#onChange.add(listener);
  }

  close(): void {
    this.#cancel();
    this.#store.close();
  }

  #counts(record: TokenRecord): boolean {
    return record.revokedAt === null && (record.expiresAt === null || record.expiresAt > this.#clock.now());
  }

  #load(): void {
    this.#tokens = new Map(this.#store.tokens().map((record) => [record.digest.toString("hex"), record]));
    const revoked = this.#store.certificates().filter((one) => one.revokedAt !== null);
    this.#revokedCertificates = new Set(revoked.map((one) => one.serial));
  }

  #watch(): void {
    this.#cancel = this.#clock.schedule(millis(this.#clock.now() + REFRESH_MILLIS), () => {
      if (this.#store.changed()) this.#load();
      // Also without a change: tokens expire.
      for (const listener of this.#onChange) listener();
      this.#watch();
    });
  }

  #ensureFile(storeDir: string, role: "admin" | "worker"): void {
    const file = tokenFile(storeDir, role);
    const found = statSync(file, { throwIfNoEntry: false }) === undefined ? null : readToken(file).expose();
    if (found !== null && !found.startsWith(`cvs_${role}_`)) {
      throw new ConvsweepError("CORRUPT", `${file} holds a token of another role`, {
        path: file,
        expected: `cvs_${role}_…`,
      });
    }
    const record = found === null ? undefined : this.#tokens.get(digest(found).toString("hex"));
    if (record !== undefined && record.revokedAt === null) return;
    if (found !== null && record === undefined) {
      // Kept from before auth.db was, or put there by its owner.
      const id = TOKEN.exec(found)?.[2] ?? newId();
      this.#add({ id, role, digest: digest(found), note: `${role}.token` });
      return;
    }
    const { id, token } = newToken(role);
    writeSecretFile(file, `${token.expose()}\n`);
    this.#add({ id, role, digest: digest(token.expose()), note: `${role}.token` });
  }

  #add(token: Pick<TokenRecord, "id" | "role" | "digest" | "note">): void {
    this.#store.addToken({ ...token, certificate: null, createdAt: this.#clock.now(), expiresAt: null });
    this.#load();
  }
}

/** A new token; nobody knows it yet. */
export function newToken(role: Role): { readonly id: string; readonly token: Secret } {
  const id = newId();
  return { id, token: new Secret(`cvs_${role}_${id}_${randomBytes(32).toString("base64url")}`) };
}

/** The token in a file, as a client reads it. */
export function readToken(file: string): Secret {
  let text: string;
  try {
    checkPrivate(file);
    text = readFileSync(file, "utf8").trim();
  } catch (error) {
    if (error instanceof ConvsweepError) throw error;
    throw new ConvsweepError("NOT_FOUND", `cannot read the token file ${file}`, { path: file, cause: error });
  }
  return tokenOf(text, file);
}

/** Throws unless the text is a token; `where` is said instead of it. */
export function tokenOf(text: string, where: string): Secret {
  if (TOKEN.test(text)) return new Secret(text);
  throw new ConvsweepError("CORRUPT", `${where} does not hold a convsweep token`, {
    path: where,
    expected: "one line: cvs_ROLE_…",
  });
}

/** Whole or not at all, also when the machine stops half way; for its owner alone. */
export function writeSecretFile(file: string, text: string): void {
  const draft = `${file}.${process.pid}.tmp`;
  const handle = openSync(draft, "wx", 0o600);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(draft, file);
}

export const digest = (secret: string): Buffer => createHash("sha256").update(secret).digest();

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

function newId(): string {
  // Not secret: the slight preference of the remainder does no harm.
  return [...randomBytes(8)].map((byte) => ALPHABET.charAt(byte % ALPHABET.length)).join("");
}
