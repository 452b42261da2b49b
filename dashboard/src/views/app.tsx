/**
 * The page as a whole: what stands where, and what is said when there is nothing to show.
 */
import type { Page } from "../page.js";
import { ConnectionBanner, ConnectionState } from "./connection.js";
import { CurvesPanel } from "./curves-panel.js";
import { Leaderboard } from "./leaderboard.js";
import { ScatterPanel } from "./scatter-panel.js";
import { SweepHeader } from "./sweep-header.js";
import { SweepList } from "./sweep-list.js";
import { TrialPanel } from "./trial-panel.js";
import { Workers } from "./workers.js";

export function App({ page, signOut }: { readonly page: Page; readonly signOut: () => void }) {
  const several = page.sweeps.value.length > 1;
  const sweep = page.sweep.value;
  return (
    <div class={several ? "app app-several" : "app"}>
      <a class="skip" href="#leaderboard">
        Go to the leaderboard
      </a>
      <header class="bar">
        <span class="brand">
          <Mark />
          convsweep
        </span>
        {page.model.value.rest > 0 && (
          <span class="quiet on-its-way" role="status">
            The best of each sweep; {page.model.value.rest.toLocaleString("en")} more trials are on their way
          </span>
        )}
        <ConnectionState page={page} signOut={signOut} />
      </header>
      <ConnectionBanner page={page} />
      {several && <SweepList page={page} />}
      {sweep === null ? (
        <Nothing page={page} />
      ) : (
        <main class="main">
          <SweepHeader page={page} sweep={sweep} />
          <Leaderboard page={page} key={`board-${sweep.id}`} />
          <div class="side">
            <CurvesPanel page={page} key={`curves-${sweep.id}`} />
            <ScatterPanel page={page} key={`scatter-${sweep.id}`} />
            <Workers page={page} />
            <TrialPanel page={page} />
          </div>
        </main>
      )}
    </div>
  );
}

function Nothing({ page }: { readonly page: Page }) {
  if (page.model.value.feed === null) {
    const connection = page.connection.value;
    if (connection === "signed-out") return <main class="nothing" />;
    return (
      <main class="nothing">
        <p class="quiet">
          {connection === "gone" ? "Nothing to show until the coordinator answers." : "Waiting for the coordinator…"}
        </p>
      </main>
    );
  }
  return (
    <main class="nothing">
      <h1>No sweep yet</h1>
      <p>This coordinator runs and waits. Submit a sweep file and it appears here by itself:</p>
      <pre>convsweep run examples/quickstart.yaml</pre>
      <Workers page={page} />
    </main>
  );
}

/** Three curves of three trials. */
function Mark() {
  return (
    <svg class="mark" viewBox="0 0 20 20" aria-hidden="true">
      <path class="mark-1" d="M2 17 C6 6 10 4 18 3.500" />
      <path class="mark-2" d="M2 17 C7 10 11 9 18 8.500" />
      <path class="mark-3" d="M2 17 C8 14 12 13.500 18 13.500" />
    </svg>
  );
}
