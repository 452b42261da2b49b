/**
 * Files of records of people's own as the engine takes them.
 *
 * Guarantees: as of array files (arrays.ts); the order is drawn from the first file's digest.
 */
import type { DatasetArrays } from "../../native/index.js";
import type { DatasetSpec, OwnFileSource, RecordSource } from "../../native/recipe.js";
import { joinRecords, parseOwnRecords, type Records } from "../../native/records.js";
import { inOrder } from "./arrays.js";
import { readOwnFile } from "./own-file.js";

/** Throws NOT_FOUND (no such file here) or CORRUPT (another file than the sweep was made from). */
export async function readOwnRecords(spec: DatasetSpec, source: RecordSource): Promise<DatasetArrays> {
  const read = async (files: readonly OwnFileSource[]): Promise<Records> => {
    const parts: Records[] = [];
    for (const file of files) {
      parts.push(parseOwnRecords(await readOwnFile("the file of records", file), spec.shape, source.label_bytes));
    }
    return joinRecords(parts);
  };
  const test = source.test === undefined ? null : await read(source.test);
  return inOrder(spec, await read(source.files), source.files[0]?.sha256 ?? "", test);
}
