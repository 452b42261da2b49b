/**
 * A sweep file as a tree that remembers where everything stood and how it was written.
 *
 * Whether a number was written as `10` or `10.0` matters (W&B draws integers from one and reals from the other), and
 * JavaScript forgets it, so a scalar keeps it. Not here: parsing (yaml.ts), meaning.
 */

/** Counted from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

interface Placed {
  readonly at: Position;
}

export interface ScalarNode extends Placed {
  readonly kind: "scalar";
  readonly value: null | boolean | number | string;
  /** A number written without point or exponent. */
  readonly whole: boolean;
}

export interface ListNode extends Placed {
  readonly kind: "list";
  readonly items: readonly FileNode[];
}

export interface MapEntry {
  readonly key: string;
  readonly keyAt: Position;
  readonly value: FileNode;
}

export interface MapNode extends Placed {
  readonly kind: "map";
  readonly entries: readonly MapEntry[];
}

export type FileNode = ScalarNode | ListNode | MapNode;

/** For messages: what stands there, in a few words. */
export function describe(node: FileNode): string {
  if (node.kind === "list") return `a list of ${node.items.length}`;
  if (node.kind === "map")
    return `a mapping with ${
      node.entries
        .map((entry) => entry.key)
        .slice(0, 4)
        .join(", ") || "no keys"
    }`;
  if (node.value === null) return "nothing";
  if (typeof node.value !== "string") return String(node.value);
  const text = JSON.stringify(node.value);
  return text.length > 60 ? `${text.slice(0, 57)}..."` : text;
}
