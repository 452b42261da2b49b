/**
 * All sweeps, running ones first, when there is more than one. Choosing one shows it on the rest of the page.
 */
import type { SweepRow } from "../../../proto/feed.js";
import { formatMetric, formatPercent } from "../format.js";
import type { Page } from "../page.js";
import { BY_RANK } from "../table.js";
import { State } from "./state.js";

export function SweepList({ page }: { readonly page: Page }) {
  const chosen = page.sweep.value?.id;
  const choose = (sweep: SweepRow) => {
    page.chosen.value = sweep.id;
    page.opened.value = null;
    page.hovered.value = null;
    page.filterText.value = "";
    page.sort.value = BY_RANK;
  };
  return (
    <nav class="sweeps" aria-label="Sweeps">
      <h2>Sweeps</h2>
      <ul>
        {page.sweeps.value.map((sweep) => (
          <li key={sweep.id}>
            <button type="button" aria-current={sweep.id === chosen ? "page" : undefined} onClick={() => choose(sweep)}>
              <span class="sweeps-name">
                <span>{sweep.name}</span>
                <span class="quiet">{sweep.id}</span>
              </span>
              <span class="sweeps-facts">
                <State state={sweep.state} />
                <span class="number">
                  {sweep.state === "running" ? formatPercent(sweep.progress) : formatMetric(sweep.best?.value ?? null)}
                </span>
              </span>
            </button>
          </li>
        ))}
      </ul>
    </nav>
  );
}
