/** One network of the catalogue, as data. */
import type { LaneHyperparameter, LayerSpec, Optimizer, Procedure } from "../recipe.js";

export interface NetworkEntry {
  readonly name: string;
  readonly summary: string;
  /** Channels, rows, columns it was made for; other inputs work where the layers allow. */
  readonly input: readonly [number, number, number];
  readonly layers: readonly LayerSpec[];
  /** Absent: classification. */
  readonly procedure?: Procedure;
  /** What a sweep file may leave out. */
  readonly defaults: {
    readonly optimizer: Optimizer;
    readonly batch_size: number;
    readonly epochs: number;
    /** Averages weights from this share of the epochs on. Absent: not. */
    readonly averaging?: number;
    readonly hyperparameters: Readonly<Partial<Record<LaneHyperparameter, number>>>;
  };
  /** Made for a text: `input` is a window, and ten characters stand for those of the text. */
  readonly text?: true;
  /** Where it comes from. */
  readonly source: string;
}
