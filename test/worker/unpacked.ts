/** A message of a worker as the messages that it stands for, each under its own number. */
import type { LinkRequest } from "../../proto/gen/convsweep/v1/worker.js";

export function unpacked({ seq, ack, body }: LinkRequest): readonly LinkRequest[] {
  if (body?.$case !== "batch") return [{ seq, ack, body }];
  return body.value.messages.map((message, i) => ({ seq: seq + i, ack, body: message.body }));
}
