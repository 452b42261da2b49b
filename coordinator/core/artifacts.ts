/**
 * Files that attempts make beside their metrics.
 *
 * Guarantees: only the holder of the current token adds one; a repeat changes nothing that counts. The state knows nothing of
 * them: they are the record's. Not here: the bytes (shell/artifacts.ts).
 */
import { holder, renew } from "./attempts.js";
import type { Draft } from "./draft.js";
import type { Event } from "./events.js";

export function artifactSaved(draft: Draft, event: Extract<Event, { readonly kind: "ArtifactSaved" }>): void {
  const held = holder(draft, event, `artifact ${event.name}`);
  if (held === null) return;
  const { id, trial } = renew(draft, held);
  const { name, mediaType, epoch, digest, bytes } = event;
  draft.add({
    kind: "putArtifact",
    artifact: { trial, attempt: id, name, mediaType, epoch, digest, bytes, at: draft.now },
  });
}
