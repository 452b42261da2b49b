/** A command line loads the modules of its verb alone; nobody can tell but by the time it takes. */
import { Command } from "commander";
import { expect, it } from "vitest";
import { VERBS } from "../../coordinator/cli/program.js";

it.each(VERBS.map(({ names, load }) => [names.join(", "), names, load] as const))(
  "%s: the module adds the verbs that it is loaded for",
  async (_what, names, load) => {
    const program = new Command();
    (await load())(program);
    expect(program.commands.map((command) => command.name())).toEqual(names);
  },
);
