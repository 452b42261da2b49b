/**
 * The workers: their devices, how many lanes hold a trial, what a device says of itself, and since when a silent one is
 * silent.
 */
import type { DeviceUseRow, WorkerRow } from "../../../proto/feed.js";
import { formatAgo, formatUse, plural } from "../format.js";
import type { Page } from "../page.js";
import { State } from "./state.js";

const MOST_BOXES = 24;
const BOXES_A_LINE = 8;

export function Workers({ page }: { readonly page: Page }) {
  const workers = page.workers.value;
  const here = workers.filter((worker) => worker.state !== "gone");
  const devices = here.flatMap((worker) => worker.devices);
  const busy = devices.reduce((sum, device) => sum + device.busy, 0);
  const lanes = devices.reduce((sum, device) => sum + device.lanes, 0);
  return (
    <section class="panel workers" aria-labelledby="workers-title">
      <div class="panel-head">
        <h2 id="workers-title">Workers</h2>
        {lanes > 0 && (
          <span class="quiet number">
            {busy} of {plural(lanes, "lane")} busy
          </span>
        )}
      </div>
      {workers.length === 0 ? (
        <p class="empty">
          No worker has joined. On any machine: <code>convsweep worker --coordinator HOST:PORT</code>
        </p>
      ) : (
        <table>
          <thead class="hidden">
            <tr>
              <th>Worker</th>
              <th>Device</th>
              <th>Name</th>
              <th>Lanes</th>
              <th>State</th>
            </tr>
          </thead>
          {workers.map((worker) => (
            <Worker key={worker.id} page={page} worker={worker} />
          ))}
        </table>
      )}
    </section>
  );
}

function Worker({ page, worker }: { readonly page: Page; readonly worker: WorkerRow }) {
  const silent = worker.state === "away" || worker.state === "gone";
  const rows = worker.devices.length === 0 ? [null] : worker.devices;
  const height = rows.reduce((sum, device) => sum + (device?.use == null ? 1 : 2), 0);
  return (
    <tbody class={silent ? "silent" : ""}>
      {rows.map((device, i) => [
        <tr key={device?.id ?? "none"}>
          {i === 0 && (
            <th scope="rowgroup" rowSpan={height} title={`on ${worker.host}, convsweep ${worker.version}`}>
              {worker.id}
            </th>
          )}
          <td>{device === null ? <span class="quiet">no device</span> : device.id}</td>
          <td class="workers-name quiet" title={device === null ? "" : `${device.name} (${device.backend})`}>
            {device?.name}
          </td>
          <td>{device !== null && <Lanes busy={device.busy} lanes={device.lanes} />}</td>
          {i === 0 && (
            <td rowSpan={height}>
              <State state={worker.state} />
              {silent && <span class="quiet seen">seen {formatAgo(worker.lastSeen, page.now.value)}</span>}
            </td>
          )}
        </tr>,
        device?.use != null && <Use key={`${device.id} use`} use={device.use} />,
      ])}
    </tbody>
  );
}

function Use({ use }: { readonly use: DeviceUseRow }) {
  return (
    <tr>
      <td
        colSpan={3}
        class="device-use quiet number"
        title="busy, memory in use, temperature, power; of all programs on the device"
      >
        {formatUse(use)}
      </td>
    </tr>
  );
}

function Lanes({ busy, lanes }: { readonly busy: number; readonly lanes: number }) {
  return (
    <span class="lanes" title={`${busy} of ${plural(lanes, "lane")} busy`}>
      {lanes <= MOST_BOXES ? (
        <span class="boxes" aria-hidden="true" style={{ width: `${Math.min(lanes, BOXES_A_LINE) * 9}px` }}>
          {Array.from({ length: lanes }, (_, i) => (
            <i key={i} class={i < busy ? "on" : ""} />
          ))}
        </span>
      ) : (
        <span class="meter" aria-hidden="true">
          <i style={{ transform: `scaleX(${Math.min(1, busy / lanes)})` }} />
        </span>
      )}
      <span class="number">
        {busy}/{lanes}
      </span>
    </span>
  );
}
