/**
 * The files that a trial leaves beside its record: pictures that a generator draws, what a text network writes, and, where they are
 * kept, the weights with what can be seen of them.
 *
 * Guarantees: a trial whose files cannot be made is complete all the same; the log says what is missing. Not here: the wire and the
 * disk (checkpoint-client.ts), when a trial is over (cohort-thread.ts).
 */
import { classNamesOf } from "../native/datasets.js";
import { CONFUSION_FILES } from "../proto/confusion.js";
import { type Cohort, hashWeights } from "./cohort.js";
import { confusionOf, predictedClasses } from "./confusion.js";
import { type Engine, engineError, type MeasuredPart } from "./engine.js";
import type { Held, ThreadMessage } from "./messages.js";
import { Album, type Pictures } from "./pictures/album.js";
import { drawFilters } from "./pictures/filters.js";
import { drawMistakes } from "./pictures/mistakes.js";
import { describeWeights, encodeSafetensors, type WeightsOf } from "./safetensors.js";

export interface TrialFilesParts {
  readonly engine: Pick<Engine, "datasetImages">;
  readonly post: (message: ThreadMessage) => void;
  /** Around every call of the engine. */
  readonly native: <T>(call: () => T) => T;
}

const PICTURED_BYTES = 64 << 20;

const keyOf = ({ attempt, token }: Held): string => `${attempt} ${token}`;

export class TrialFiles {
  readonly #parts: TrialFilesParts;
  /** Of attempts whose epochs bring pictures. */
  readonly #albums = new Map<string, Album>();
  /** Attempts that keep their weights. */
  readonly #keepers = new Map<string, WeightsOf>();

  constructor(parts: TrialFilesParts) {
    this.#parts = parts;
  }

  keepWeightsOf(held: Held, of: WeightsOf): void {
    this.#keepers.set(keyOf(held), of);
  }

  forget(held: Held): void {
    this.#albums.delete(keyOf(held));
    this.#keepers.delete(keyOf(held));
  }

  show(held: Held, epoch: number, pictures: Pictures, last: boolean): void {
    const album = this.#albums.get(keyOf(held)) ?? new Album();
    this.#albums.set(keyOf(held), album);
    const artifacts = [album.add(epoch, pictures), last ? album.finish() : null];
    for (const artifact of artifacts) if (artifact !== null) this.#parts.post({ kind: "artifact", held, artifact });
  }

  /** Of a lane that has ended, while it is still there. */
  finish(cohort: Cohort, lane: number, held: Held): void {
    this.#try(held, "a lane wrote nothing", () => this.#sample(cohort, lane, held));
    const of = this.#keepers.get(keyOf(held));
    if (of === undefined) return;
    this.#try(held, "a lane's weights were not kept", () => this.#weights(cohort, lane, held, of));
    const { labelsImages, testAtEnd } = cohort.data;
    const measured: readonly MeasuredPart[] = testAtEnd ? ["validation", "test"] : ["validation"];
    for (const part of labelsImages ? measured : []) {
      this.#try(held, `a lane's mistakes (${part}) were not kept`, () => this.#mistakes(cohort, lane, held, part));
    }
  }

  #sample(cohort: Cohort, lane: number, held: Held): void {
    const text = this.#parts.native(() => cohort.sample(lane));
    if (text !== null) this.#keep(held, "sample", "text/plain", new TextEncoder().encode(text));
  }

  #weights(cohort: Cohort, lane: number, held: Held, of: WeightsOf): void {
    const weights = this.#parts.native(() => cohort.weights(lane));
    const beside = describeWeights(of, cohort.normalisation(), hashWeights(weights.data));
    const filters = drawFilters(weights);
    this.#keep(held, "weights", "application/safetensors", encodeSafetensors(weights));
    this.#keep(held, "weights-recipe", "application/json", beside);
    if (filters !== null) this.#keep(held, "filters", "image/png", filters);
  }

  /** Once more through images that were measured: what the lane takes for what. */
  #mistakes(cohort: Cohort, lane: number, held: Held, part: MeasuredPart): void {
    const { spec, digest } = cohort.data;
    const { shape, classes, validation, train_images, test_images } = spec;
    const [first, count] = part === "test" ? [train_images, test_images] : [train_images - validation, validation];
    // Images that take more memory than this are not looked at again.
    const most = Math.max(count, classes * classes) * shape[0] * shape[1] * shape[2];
    if (count === 0 || most > PICTURED_BYTES) return;
    const { engine, native } = this.#parts;
    const predicted = predictedClasses(
      native(() => cohort.logits(lane, part)),
      classes,
    );
    const { images, labels } = engine.datasetImages(digest, first, count);
    const confusion = confusionOf(part, predicted, labels, classNamesOf(spec));
    this.#keep(held, CONFUSION_FILES[part], "application/json", Buffer.from(`${JSON.stringify(confusion)}\n`));
    const picture = drawMistakes(images, shape, predicted, labels, classes);
    if (picture !== null) this.#keep(held, part === "test" ? "test-mistakes" : "mistakes", "image/png", picture);
  }

  #keep(held: Held, name: string, mediaType: string, data: Uint8Array): void {
    this.#parts.post({ kind: "artifact", held, artifact: { name, mediaType, epoch: 0, data } });
  }

  #try(held: Held, what: string, make: () => void): void {
    try {
      make();
    } catch (thrown) {
      const { code, message } = engineError(thrown);
      const said = { event: "artifact-trouble", message: `${what}: ${message}` } as const;
      this.#parts.post({ kind: "log", level: "warn", ...said, fields: { ...held, code } });
    }
  }
}
