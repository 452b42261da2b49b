/**
 * What is due on a Link as messages: several in one, where the coordinator takes batches. Pure.
 *
 * Guarantees: every body once, in order, under its number; no batch is longer than a message of the Link may be. One that is
 * too long by itself travels alone, as it would have.
 */
import { LIMITS } from "../proto/contract.js";
import type { LinkRequest } from "../proto/gen/convsweep/v1/worker.js";
import type { Numbered as Due } from "./outbox.js";

/** Well below what a message may have. */
const BATCH_BYTES = LIMITS.linkMessageBytes / 2;
/** Of a number with its tag, or of the tag and length of a text or a message. */
const VALUE_BYTES = 16;
/** Of a character in UTF-8, at most. */
const CHARACTER_BYTES = 3;

/** `due` has numbers without gaps. */
export function messagesOf(due: readonly Due[], ack: number, batches: boolean): readonly LinkRequest[] {
  if (!batches || due.length <= 1) return due.map(({ seq, body }) => ({ seq, ack, body }));
  const messages: LinkRequest[] = [];
  let part: Due[] = [];
  let bytes = 0;
  for (const one of due) {
    const size = bytesAtMost(one.body);
    if (bytes + size > BATCH_BYTES && part.length > 0) {
      messages.push(messageOf(part, ack));
      part = [];
      bytes = 0;
    }
    part.push(one);
    bytes += size;
  }
  if (part.length > 0) messages.push(messageOf(part, ack));
  return messages;
}

function messageOf(part: readonly Due[], ack: number): LinkRequest {
  const [first] = part as readonly [Due, ...Due[]];
  if (part.length === 1) return { seq: first.seq, ack, body: first.body };
  return { seq: first.seq, ack, body: { $case: "batch", value: { messages: part.map(({ body }) => ({ body })) } } };
}

/** Of a message, or of what is in it: its texts, and room for all that has a length of its own. */
function bytesAtMost(value: unknown): number {
  if (typeof value === "string") return VALUE_BYTES + CHARACTER_BYTES * value.length;
  let bytes = VALUE_BYTES;
  if (value !== null && typeof value === "object")
    for (const inner of Object.values(value)) bytes += bytesAtMost(inner);
  return bytes;
}
