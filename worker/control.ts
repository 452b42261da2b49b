/**
 * The memory that the main thread and a device's thread share: one interrupt flag down, proofs of life up.
 *
 * Guarantees: after `interrupt()` the slice that runs, or else the next one, returns after at most one step; the thread
 * clears the flag with `listen()` before it looks for commands, so a command posted after an interrupt is never
 * overlooked. Lossy by design: nothing that matters travels here. The engine knows the first two cells
 * (`SessionOptions.control` in native/index.ts).
 */

const INTERRUPT = 0;
/** Counted by the engine, one an operation and a batch. */
const BEATS = 1;
/** 1 while the thread is inside a native call or loads data. */
const BUSY = 2;
/** Counted by the thread, one a turn of its loop. */
const TURNS = 3;
const CELLS = 4;
/** Cells that the engine reads and writes. */
const ENGINE_CELLS = 2;

/** A sample of a thread's life. Two equal samples with `busy` mean that nothing moved between them. */
export interface Pulse {
  readonly busy: boolean;
  readonly beat: string;
}

export class Control {
  readonly buffer: SharedArrayBuffer;
  private readonly cells: Int32Array;

  constructor(buffer: SharedArrayBuffer = new SharedArrayBuffer(CELLS * Int32Array.BYTES_PER_ELEMENT)) {
    this.buffer = buffer;
    this.cells = new Int32Array(buffer);
  }

  /** The view given to the engine. */
  engineCells(): Int32Array {
    return new Int32Array(this.buffer, 0, ENGINE_CELLS);
  }

  /** Main thread: make the slice return at once. */
  interrupt(): void {
    Atomics.store(this.cells, INTERRUPT, 1);
  }

  /** Device thread: commands are about to be taken. */
  listen(): void {
    Atomics.store(this.cells, INTERRUPT, 0);
    Atomics.add(this.cells, TURNS, 1);
  }

  interrupted(): boolean {
    return Atomics.load(this.cells, INTERRUPT) === 1;
  }

  setBusy(busy: boolean): void {
    Atomics.store(this.cells, BUSY, busy ? 1 : 0);
  }

  pulse(): Pulse {
    return {
      busy: Atomics.load(this.cells, BUSY) === 1,
      beat: `${Atomics.load(this.cells, TURNS)}.${Atomics.load(this.cells, BEATS)}`,
    };
  }
}
