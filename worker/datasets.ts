/**
 * Sees to it that the engine has a recipe's data set, loading it from files or generating it once.
 *
 * Guarantees: what is known by its spec is not read again by this thread; the engine holds one copy for the whole
 * process. Errors of the files come through as they are (worker/data).
 */
import type { Control } from "./control.js";
import { loadDataset } from "./data/load.js";
import type { DatasetSpec, Engine } from "./engine.js";

export class DatasetShelf {
  private readonly engine: Engine;
  private readonly control: Control;
  private readonly dataDir: string;
  private readonly digests = new Map<string, string>();

  constructor(engine: Engine, control: Control, dataDir: string) {
    this.engine = engine;
    this.control = control;
    this.dataDir = dataDir;
  }

  /** The digest under which the engine has it. */
  async provide(spec: DatasetSpec): Promise<string> {
    const { name, shape, classes, train_images, test_images, seed, text, arrays: files, folder } = spec;
    const key = JSON.stringify([
      name,
      shape,
      classes,
      train_images,
      test_images,
      seed,
      text?.sha256 ?? null,
      files ?? null,
      folder?.sha256 ?? null,
    ]);
    const known = this.digests.get(key);
    if (known !== undefined && this.engine.hasDataset(known)) return known;
    const { digest, arrays } = await loadDataset(spec, this.dataDir, (from, train, test) =>
      this.native(() => this.engine.syntheticDigits(from, train, test)),
    );
    this.native(() => this.engine.registerDataset(digest, arrays));
    this.digests.set(key, digest);
    return digest;
  }

  private native<T>(call: () => T): T {
    this.control.setBusy(true);
    try {
      return call();
    } finally {
      this.control.setBusy(false);
    }
  }
}
