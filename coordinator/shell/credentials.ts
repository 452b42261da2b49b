/**
 * Who may ask for what: two tokens in files of the store directory, compared by digest in constant time.
 *
 * Guarantees: a token is 32 random bytes, made at the first start, in a file that only its owner can read. The worker
 * token opens a Link and nothing else; the admin token opens everything. Authentication cannot be switched off. The
 * secrets themselves are not kept in memory, only their SHA-256. Not here: browsers (logins.ts), TLS.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { chmodSync, closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { ConvsweepError } from "../../proto/contract.js";

export type Role = "admin" | "worker";

export const tokenFile = (storeDir: string, role: Role): string => join(storeDir, `${role}.token`);

export interface Credentials {
  /** The role of `Bearer ...`, or `null` if it is not one of ours. */
  roleOf(authorization: string | undefined): Role | null;
}

/** Reads both token files, making those that are absent. */
export function openCredentials(storeDir: string): Credentials {
  const digests = {
    admin: digest(ensureToken(storeDir, "admin")),
    worker: digest(ensureToken(storeDir, "worker")),
  };
  return {
    roleOf(authorization) {
      const token = /^Bearer ([\x21-\x7e]{1,128})$/i.exec(authorization ?? "")?.[1];
      if (token === undefined) return null;
      const given = digest(token);
      // Both are always compared: the time taken says nothing about which one was near.
      const isAdmin = timingSafeEqual(given, digests.admin);
      const isWorker = timingSafeEqual(given, digests.worker);
      if (isAdmin) return "admin";
      return isWorker ? "worker" : null;
    },
  };
}

/** The token in a file, as a client reads it. */
export function readToken(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, "utf8").trim();
  } catch (error) {
    throw new ConvsweepError("NOT_FOUND", `cannot read the token file ${file}`, { path: file, cause: error });
  }
  if (!/^cvs_(admin|worker)_[A-Za-z0-9_-]{43}$/.test(text)) {
    throw new ConvsweepError("CORRUPT", `${file} does not hold a convsweep token`, {
      path: file,
      expected: "one line: cvs_admin_… or cvs_worker_…",
    });
  }
  return text;
}

export const digest = (secret: string): Buffer => createHash("sha256").update(secret).digest();

function ensureToken(storeDir: string, role: Role): string {
  const file = tokenFile(storeDir, role);
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) writeSecret(file, `cvs_${role}_${randomBytes(32).toString("base64url")}\n`);
  else if ((found.mode & 0o077) !== 0) chmodSync(file, 0o600);
  const token = readToken(file);
  if (!token.startsWith(`cvs_${role}_`)) {
    throw new ConvsweepError("CORRUPT", `${file} holds a token of another role`, {
      path: file,
      expected: `cvs_${role}_…`,
    });
  }
  return token;
}

/** Whole or not at all, also when the machine stops half way. */
function writeSecret(file: string, text: string): void {
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
