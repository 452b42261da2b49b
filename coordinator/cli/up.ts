/** `convsweep up`: coordinator and page, with local workers if wanted, until Ctrl-C. */
import { type Command, Option } from "commander";
import { ConvsweepError, DEFAULT_PORTS } from "../../proto/contract.js";
import { plaintextAllowed } from "../../proto/tls.js";
import type { RunningCoordinator } from "../shell/coordinator.js";
import { LOG_LEVELS, type LogLevel } from "../shell/log.js";
import type { Security } from "../shell/security.js";
import { webhookSecret, webhookUrl } from "../shell/webhook/webhook.js";
import { contextOf, parseCount } from "./context.js";
import { parseListen, startEmbedded } from "./embedded.js";
import { aborted, onInterrupt } from "./interrupt.js";
import { addLocalOptions, checkLocalDevices, type LocalOptions, localWorkerArguments } from "./local-options.js";

interface Options extends LocalOptions {
  readonly workers: number;
  readonly listen: { host: string; port: number };
  readonly page: { host: string; port: number };
  readonly acceptRollback?: true;
  readonly logLevel?: LogLevel;
  readonly webhook?: URL;
  readonly webhookSecret?: string;
  readonly security: Security;
}

export function addUp(program: Command): void {
  const command = program
    .command("up")
    .description("start the coordinator and its page")
    .option("--workers <n>", "local workers to start with it", parseCount("--workers", 0, 64), 0)
    .addOption(listenOption("--listen", "where workers and commands reach it", DEFAULT_PORTS.grpc))
    .addOption(listenOption("--page", "where the page is served", DEFAULT_PORTS.http));
  addLocalOptions(command)
    .addOption(
      new Option("--security <mode>", "auto: none on loopback, else mtls; tls: the server's certificate alone")
        .choices(["auto", "tls", "mtls"])
        .default("auto"),
    )
    .option("--accept-rollback", "go on although commits that were made are missing from the database")
    .addOption(
      new Option("--log-level <level>", "write a structured log, JSON lines, to standard error").choices(LOG_LEVELS),
    )
    .option("--webhook <url>", "tell this address how sweeps end and when trials fail", webhookUrl)
    .option("--webhook-secret <file>", "sign the webhook's messages with the key in this file", webhookSecret)
    .addHelpText(
      "after",
      `
Sweeps that had not ended when a coordinator stopped go on.

Examples:
  convsweep up --workers 1
  convsweep up --workers 1 --devices cuda:0,cuda:1
  convsweep worker                  # in another terminal: one more on this machine
  convsweep run sweep.yaml --detach`,
    )
    .action(async (options: Options, command: Command) => {
      const context = contextOf(command);
      const { output } = context;
      if (options.webhookSecret !== undefined && options.webhook === undefined) {
        throw new ConvsweepError("BAD_INPUT", "--webhook-secret: there is no --webhook whose messages it could sign", {
          path: "--webhook-secret",
          expected: "--webhook URL beside it",
        });
      }
      if (options.workers > 0) await checkLocalDevices(options);
      const interrupt = onInterrupt(output, () => "ending; Ctrl-C again ends at once");
      const embedded = await startEmbedded(context, {
        grpc: options.listen,
        http: options.page,
        workers: options.workers,
        workerArguments: localWorkerArguments(options),
        acceptRollback: options.acceptRollback === true,
        logLevel: options.logLevel ?? null,
        webhook: options.webhook === undefined ? null : { url: options.webhook, secret: options.webhookSecret ?? null },
        insecurePlaintext: plaintextAllowed(context.options.insecurePlaintext, process.env),
        security: options.security,
        fallbackPort: false,
      });
      const { coordinator } = embedded;
      if (output.json) {
        output.data({
          event: "up",
          grpc: coordinator.grpcAddress,
          page: coordinator.dashboardUrl,
          store: coordinator.storeDir,
        });
      } else {
        output.line(`${output.paint.bold("convsweep")} is up`);
        output.line(`page     ${output.paint.cyan(coordinator.dashboardUrl)}`);
        output.line(`workers  ${context.command} worker ${howToJoin(coordinator)}`);
        output.line(`store    ${coordinator.storeDir}`);
        output.line(output.paint.dim("Ctrl-C ends it; sweeps go on at the next start."));
      }
      try {
        await Promise.race([aborted(interrupt.signal), coordinator.failed]);
      } finally {
        await embedded.close();
        interrupt.dispose();
      }
    });
}

function howToJoin({ secured, grpcAddress, workerTokenFile, tlsFiles }: RunningCoordinator): string {
  if (secured.grpc === "mtls")
    return `--coordinator ${grpcAddress} --identity NAME.pem, which \`convsweep certs issue NAME\` writes`;
  const ca = tlsFiles.ca === null ? "" : ` --ca ${tlsFiles.ca}`;
  return `--coordinator ${grpcAddress} --token-file ${workerTokenFile}${ca}`;
}

function listenOption(name: string, what: string, port: number): Option {
  return new Option(`${name} <host:port>`, what)
    .argParser(parseListen(name))
    .default({ host: "127.0.0.1", port }, `127.0.0.1:${port}`);
}
