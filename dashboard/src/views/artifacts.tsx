/** Files of a trial: pictures in place, one epoch at a time, the others as links. */
import { useSignal } from "@preact/signals";
import type { ArtifactLine } from "../feed/details.js";

export function Artifacts({ artifacts }: { readonly artifacts: readonly ArtifactLine[] }) {
  const names = [...new Set(artifacts.map((artifact) => artifact.name))];
  if (names.length === 0) return null;
  return (
    <>
      <h3>Files</h3>
      {names.map((name) => (
        <ArtifactSeries key={name} name={name} artifacts={artifacts.filter((artifact) => artifact.name === name)} />
      ))}
    </>
  );
}

/** The newest, until another epoch is chosen. */
function ArtifactSeries({ name, artifacts }: { readonly name: string; readonly artifacts: readonly ArtifactLine[] }) {
  const chosen = useSignal<number | null>(null);
  const last = artifacts.length - 1;
  const at = Math.min(chosen.value ?? last, last);
  const artifact = artifacts[at];
  if (artifact === undefined) return null;
  const title = artifact.epoch > 0 ? `${name}, epoch ${artifact.epoch}` : name;
  const address = `/artifacts/${artifact.id}`;
  return (
    <figure class="artifact">
      <figcaption>
        <a href={address} target="_blank" rel="noopener">
          {title}
        </a>
      </figcaption>
      {artifact.picture && <img src={address} alt={title} />}
      {artifacts.length > 1 && (
        <input
          type="range"
          aria-label={`epoch of ${name}`}
          min={0}
          max={last}
          value={at}
          onInput={(event) => (chosen.value = Number(event.currentTarget.value))}
        />
      )}
    </figure>
  );
}
