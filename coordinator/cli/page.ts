/** `convsweep page`: a fresh link to the live page; each link opens it once. */
import type { Command } from "commander";
import { withAdmin } from "./connect.js";
import { contextOf } from "./context.js";

export function addPage(program: Command): void {
  program
    .command("page")
    .description("print a fresh link to the live page of the running coordinator")
    .addHelpText(
      "after",
      "\nA link opens the page once; the browser is remembered after that.\n\nExample:\n  convsweep page",
    )
    .action(async (_options: object, command: Command) => {
      const context = contextOf(command);
      const { dashboard } = await withAdmin(context, (client) => client.getStatus());
      if (context.output.json) context.output.data({ page: dashboard });
      else context.output.line(dashboard);
    });
}
