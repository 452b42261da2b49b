/** Files of a trial: pictures in place, one epoch at a time, confusion matrices as heat maps, the others as links. */
import { useSignal } from "@preact/signals";
import type { Theme } from "../charts/color-map.js";
import type { ArtifactLine } from "../feed/details.js";
import { ConfusionMatrix } from "./confusion.js";

interface ArtifactsProps {
  readonly artifacts: readonly ArtifactLine[];
  readonly theme: Theme;
}

export function Artifacts({ artifacts, theme }: ArtifactsProps) {
  const names = [...new Set(artifacts.map((artifact) => artifact.name))];
  if (names.length === 0) return null;
  return (
    <>
      <h3>Files</h3>
      {names.map((name) => (
        <ArtifactSeries
          key={name}
          name={name}
          artifacts={artifacts.filter((artifact) => artifact.name === name)}
          theme={theme}
        />
      ))}
    </>
  );
}

/** The newest, until another epoch is chosen. */
function ArtifactSeries({ name, artifacts, theme }: ArtifactsProps & { readonly name: string }) {
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
      {artifact.shown === "picture" && <img src={address} alt={title} />}
      {artifact.shown === "confusion" && <ConfusionMatrix key={artifact.id} address={address} theme={theme} />}
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
