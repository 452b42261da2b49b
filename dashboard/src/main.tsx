/**
 * Puts the page together: feed, state, views, and the address (`#SWEEP` or `#SWEEP/TRIAL`), so that a link or a reload
 * shows the same.
 */
import { effect } from "@preact/signals";
import { render } from "preact";
import "uplot/dist/uPlot.min.css";
import "./styles.css";
import { browserWorld, getJson, postOwn } from "./feed/browser.js";
import { FeedClient } from "./feed/client.js";
import { CurveSource } from "./feed/curve-source.js";
import { formatMetric, formatPercent } from "./format.js";
import { createPage } from "./page.js";
import { App } from "./views/app.js";

const curves = new CurveSource(getJson, (run, millis) => void setTimeout(run, millis));
const [, sweep, trial] = /^#(\d+)(?:\/(\d+))?$/.exec(location.hash) ?? [];
const page = createPage(
  curves,
  sweep === undefined ? null : Number(sweep),
  trial === undefined ? null : `${sweep}/${trial}`,
);

const dark = matchMedia("(prefers-color-scheme: dark)");
const readTheme = () => {
  page.theme.value = dark.matches ? "dark" : "light";
};
readTheme();
dark.addEventListener("change", readTheme);

setInterval(() => {
  if (!document.hidden) page.now.value = Date.now();
}, 1000);

const client = new FeedClient(browserWorld(), {
  onModel: (model) => {
    page.model.value = model;
  },
  onReports: (reports) => curves.receive(reports),
  onConnection: (connection) => {
    page.connection.value = connection;
  },
});
addEventListener("online", () => client.hurry());
document.addEventListener("visibilitychange", () => {
  page.now.value = Date.now();
  if (!document.hidden) client.hurry();
});

effect(() => {
  const row = page.sweep.value;
  const facts =
    row === null
      ? []
      : [row.state === "running" ? formatPercent(row.progress) : row.state, formatMetric(row.best?.value)];
  document.title = row === null ? "convsweep" : `${facts.join(" · ")} · ${row.name}`;
});
effect(() => {
  const address = page.opened.value ?? page.chosen.value;
  const hash = address === null ? "" : `#${address}`;
  if (hash !== location.hash) history.replaceState(null, "", hash === "" ? location.pathname : hash);
});

/** What is on the screen goes too: a reload asks for a login link. */
function signOut(): void {
  void postOwn("/api/sign-out").then(
    () => location.reload(),
    // Nobody answers; the page says so by itself.
    () => {},
  );
}

const root = document.getElementById("page");
if (root !== null) render(<App page={page} signOut={signOut} />, root);
client.start();
