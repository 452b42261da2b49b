/**
 * `convsweep trial rerun`: asks for the repeat, follows it, says whether it came out the same.
 * Starts a coordinator with a local worker when none runs. Exit code 1 when a verified repeat differs.
 */
import type { AdminClient } from "../shell/admin-client.js";
import { findRunning, withAdmin } from "./connect.js";
import type { Context } from "./context.js";
import { withEmbedded } from "./embedded.js";
import { formatMetric } from "./format.js";
import { onInterrupt } from "./interrupt.js";
import { checkLocalDevices, type LocalOptions, localWorkerArguments } from "./local-options.js";
import { asObjects } from "./rows.js";
import { applyFeedMessage, newSweepModel } from "./sweep-model.js";

export interface RerunOptions extends LocalOptions {
  readonly verify?: true;
  readonly detach?: true;
}

export async function rerunTrial(context: Context, id: string, options: RerunOptions): Promise<number> {
  const verify = options.verify === true;
  const detach = options.detach === true;
  if (context.options.coordinator !== null || (await findRunning(context.options.store)) || detach) {
    return await withAdmin(context, (client) => rerunAndFollow(context, client, id, verify, detach));
  }
  await checkLocalDevices(options);
  return await withEmbedded(context, { workers: 1, workerArguments: localWorkerArguments(options) }, (client) =>
    rerunAndFollow(context, client, id, verify, false),
  );
}

async function rerunAndFollow(
  context: Context,
  client: AdminClient,
  id: string,
  verify: boolean,
  detach: boolean,
): Promise<number> {
  const { output } = context;
  const rerun = await client.rerunTrial(id, verify);
  if (output.json) output.data({ event: "submitted", trial: rerun, of: id });
  else output.line(`trial ${rerun} repeats ${id}`);
  if (detach) return 0;

  const sweep = Number(rerun.split("/")[0]);
  const model = newSweepModel(sweep);
  const finished = new AbortController();
  const interrupt = onInterrupt(output, () => "leaving; the repeat stays queued");
  try {
    await client.watch(
      (message) => {
        const seen = applyFeedMessage(model, message);
        for (const report of seen.reports) {
          if (report.trial !== rerun) continue;
          const metric = model.sweep?.metric ?? "val_accuracy";
          if (output.json) output.data({ event: "report", ...report });
          else output.line(`  epoch ${report.epoch}  ${metric} ${formatMetric(report.metrics[metric] ?? null)}`);
        }
        if (seen.ended.some((trial) => trial.id === rerun)) finished.abort();
      },
      AbortSignal.any([interrupt.signal, finished.signal]),
    );
  } finally {
    interrupt.dispose();
  }
  if (interrupt.signal.aborted) return 130;
  const answer = await client.query("SELECT state, cause, verified, verified_detail FROM trials WHERE id = ?", [rerun]);
  const [row] = asObjects(answer);
  const said =
    row?.["verified"] == null ? null : { equal: row["verified"] === 1, detail: String(row["verified_detail"]) };
  if (output.json)
    output.data({ event: "rerun", trial: rerun, of: id, state: row?.["state"], cause: row?.["cause"], verified: said });
  else if (said) output.line((said.equal ? output.paint.green : output.paint.red)(said.detail));
  else output.line(`${row?.["state"]}${row?.["cause"] ? ` (${row["cause"]})` : ""}`);
  if (verify) return said?.equal ? 0 : 1;
  return row?.["state"] === "completed" ? 0 : 1;
}
