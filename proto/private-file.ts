/** Files of secrets: of this user alone. */
import { statSync } from "node:fs";
import { ConvsweepError } from "./contract.js";

/**
 * Throws FORBIDDEN unless `file` is this user's own (root may use anybody's) and nobody else can read it. `path` is the
 * error's, the file itself unless an option named it. Throws the system's error where there is no such file.
 */
export function checkPrivate(file: string, holds: "a secret" | "a private key" = "a secret", path = file): void {
  const { mode, uid } = statSync(file);
  const mine = process.getuid?.() ?? uid;
  const foreign = uid !== mine && mine !== 0;
  if ((mode & 0o077) === 0 && !foreign) return;
  const why = foreign
    ? `${file} belongs to another user`
    : `others can read ${file}; it holds ${holds}: \`chmod 600 ${file}\``;
  throw new ConvsweepError("FORBIDDEN", why, {
    path,
    expected: "your own file with mode 600",
    found: foreign ? `owner ${uid}` : `mode ${(mode & 0o777).toString(8)}`,
  });
}
