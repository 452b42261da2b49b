/** What a thread of compile-pool.ts runs. Errors leave as data: a thrown class would arrive as a bare Error. */
import { type ErrorData, toConvsweepError } from "../../proto/contract.js";
import { type CompiledSweep, compileSweep } from "../recipe/compile.js";

export interface CompileTask {
  readonly text: string;
  readonly fileName: string;
  readonly directory: string;
}

export type CompileOutcome =
  | { readonly ok: true; readonly sweep: CompiledSweep }
  | { readonly ok: false; readonly error: ErrorData };

export function compile({ text, fileName, directory }: CompileTask): CompileOutcome {
  try {
    return { ok: true, sweep: compileSweep(text, fileName, directory) };
  } catch (thrown) {
    return { ok: false, error: toConvsweepError(thrown).toData() };
  }
}
