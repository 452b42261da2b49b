/**
 * Whether what you see is live, always in sight; and in words what to do when it is not.
 */
import { useSignal, useSignalEffect } from "@preact/signals";
import type { Connection } from "../feed/client.js";
import { formatClock } from "../format.js";
import type { Page } from "../page.js";

const LABEL: Readonly<Record<Connection, string>> = {
  connecting: "connecting",
  live: "live",
  reconnecting: "reconnecting",
  gone: "no connection",
  "signed-out": "signed out",
};

export function ConnectionState({ page, signOut }: { readonly page: Page; readonly signOut: () => void }) {
  const connection = page.connection.value;
  const version = page.model.value.version;
  return (
    <span class="connection">
      {version !== "" && <span class="version">{version}</span>}
      <span
        class={`pill pill-${connection}`}
        role="status"
        title={`Connection to the coordinator: ${LABEL[connection]}`}
      >
        <i class="dot" />
        {LABEL[connection]}
      </span>
      {connection !== "signed-out" && (
        <button
          type="button"
          class="sign-out"
          onClick={signOut}
          title="This browser forgets its login to the coordinator"
        >
          Sign out
        </button>
      )}
    </span>
  );
}

export function ConnectionBanner({ page }: { readonly page: Page }) {
  const lostAt = useSignal<number | null>(null);
  useSignalEffect(() => {
    const live = page.connection.value === "live";
    if (live) lostAt.value = null;
    else if (lostAt.peek() === null) lostAt.value = Date.now();
  });
  const connection = page.connection.value;
  const since =
    page.model.value.feed === null || lostAt.value === null
      ? ""
      : ` What you see is from ${formatClock(lostAt.value, page.now.value)}.`;
  if (connection === "signed-out") {
    return (
      <div class="banner banner-bad" role="alert">
        The coordinator does not know this browser: a login lasts twelve hours, or until the coordinator restarts. Open
        the login link that <code>convsweep page</code> prints.{since}
      </div>
    );
  }
  if (connection === "gone") {
    return (
      <div class="banner banner-bad" role="alert">
        The coordinator has not answered for a while. It may have ended, or the network is down; the page keeps trying.
        {since}
      </div>
    );
  }
  if (connection === "reconnecting") return <div class="banner">Connection lost, trying again.{since}</div>;
  return null;
}
