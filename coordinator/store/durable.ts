/** fsync of a file and of a folder's entries: after both, a renamed file survives a loss of power. */
import { closeSync, fsyncSync, openSync } from "node:fs";

export function syncFile(path: string): void {
  const file = openSync(path, "r+");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

export function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
