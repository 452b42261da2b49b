/**
 * The first level of a sweep file: typed access to its keys. `null` counts as absent. Not here: what they mean together.
 */
import { HYPERPARAMETER_NAMES, KEYS, type Key, TOP_LEVEL } from "./keys.js";
import { type FileNode, isNothing, type MapEntry, type MapNode, type Reader } from "./reader.js";

export class TopLevel {
  readonly reader: Reader;
  readonly root: MapNode;
  readonly entries: ReadonlyMap<string, MapEntry>;

  constructor(reader: Reader, node: FileNode) {
    this.reader = reader;
    this.root = reader.map(node, "", "a mapping: the keys of a sweep");
    this.entries = reader.fields(node, "", TOP_LEVEL, "a mapping", [...KEYS, ...HYPERPARAMETER_NAMES]);
  }

  node(key: Key): FileNode | undefined {
    const node = this.entries.get(key)?.value;
    return isNothing(node) ? undefined : node;
  }

  present(key: Key): boolean {
    return this.node(key) !== undefined;
  }

  need(key: Key): FileNode {
    const node = this.node(key);
    if (node === undefined) throw this.reader.error(this.root.at, key, "the sweep needs this key", key, "no such key");
    return node;
  }

  string(key: Key, fallback: string): string {
    const node = this.node(key);
    return node === undefined ? fallback : this.reader.text(node, key);
  }

  flag(key: Key): boolean {
    const node = this.node(key);
    return node === undefined ? false : this.reader.flag(node, key);
  }

  whole(key: Key, fallback: number, bounds: { readonly min: number; readonly max: number }): number {
    const node = this.node(key);
    return node === undefined ? fallback : this.reader.whole(node, key, bounds);
  }

  refuseTwice(key: string): void {
    const entry = this.entries.get(key);
    if (entry === undefined || isNothing(entry.value)) return;
    const message = "stands here and in parameters; keep one of them";
    throw this.reader.error(entry.keyAt, key, message, "one of them", "both");
  }
}
