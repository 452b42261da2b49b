/**
 * The engine's TypeScript face: typed handles and data, never a pointer.
 *
 * Guarantees: every call validates what protects memory and throws `EngineError` with a code and the path of the
 * offending value; `null` means absent, `undefined` never crosses. Handles belong to the thread that made them; data
 * sets are process-wide and shared by digest. `runSlice` is synchronous and returns after at most about `maxMillis`.
 * Fields stand in the same order here and in src/binding/.
 *
 * Not here: friendly validation of sweep files (coordinator/recipe), reading data files (worker/data).
 */

export type Isa = "avx512" | "avx2" | "scalar";

export interface DeviceInfo {
  /** `cpu`, `cuda:0`, ... */
  readonly id: string;
  readonly backend: "cpu" | "cuda";
  readonly name: string;
  /** Compute capability of a CUDA device, `9.0`. */
  readonly capability: string | null;
  /** PCI address of a CUDA device, `0000:65:00.0`. */
  readonly bus: string | null;
  /** The kernels that run there: an `Isa`; of CUDA `sm_90`, or `compute_90` where the driver compiles them at first use. */
  readonly isa: string | null;
  /** Of CUDA multiprocessors. */
  readonly cores: number;
  readonly memoryBytes: number;
  /** `null` if usable, else why not, in one sentence. */
  readonly unusable: string | null;
}

/** Bytes as published: image i starts at i * c * h * w, planes first. */
export interface DatasetArrays {
  readonly shape: readonly [number, number, number];
  readonly classes: number;
  readonly trainImages: Uint8Array;
  readonly trainLabels: Uint8Array;
  readonly testImages: Uint8Array;
  readonly testLabels: Uint8Array;
  /**
   * A text: `trainImages` are the numbers of its characters, one more than whole windows of shape[2]; the rest is empty.
   * Image i is window i, its labels are the characters that follow.
   */
  readonly text?: true;
}

export interface SessionOptions {
  /** A `Recipe` (recipe.ts) as JSON. */
  readonly recipe: string;
  readonly device: string;
  /** A digest given to `registerDataset` in this process. */
  readonly dataset: string;
  /** How many lanes the session can hold at once, at least 1. */
  readonly lanes: number;
  /** Threads the session may use, at least 1. Never changes a result. */
  readonly threads: number;
  /** `auto` takes the widest the processor has. Never changes a result. */
  readonly isa: Isa | "auto";
  /**
   * Over a SharedArrayBuffer, polled once a step: [0] = 0 run, 1 return from the slice now. The engine counts
   * batches and, on the host, the operations of their passes into [1] (wrapping) as proof of life. `null` for none.
   */
  readonly control: Int32Array | null;
  /** Measure each layer, for `takeProfile`. Never changes a result. */
  readonly profile?: boolean;
}

/** What its memory depends on. */
export type SessionSize = Pick<SessionOptions, "recipe" | "device" | "lanes" | "threads">;

export interface LaneOptions {
  /** Key of every random draw of the lane: 64 bits. */
  readonly seed: bigint;
  /** Full set of lane hyperparameters, in the order of hyperparameters.ts; NaN for `dropout` = each layer's own rate. */
  readonly hyperparameters: Float64Array;
  /**
   * Bytes of `saveLane` to go on from, or `null` to start at epoch 0. `seed` and `hyperparameters` stay those given
   * here: to go on to the bit, give the same again.
   */
  readonly checkpoint: Uint8Array | null;
  /** Takes a checkpoint of another fingerprint too: the lane goes on, but not to the bit. `false` by default. */
  readonly anyBackend?: boolean;
}

/** Images in rows of `columns`, one after another, plane by plane; values of -1 to 1. */
export interface Pictures {
  readonly shape: readonly [number, number, number];
  readonly columns: number;
  readonly values: Float32Array;
}

/** Metrics of one finished epoch of one lane. Epochs count from 1 here: `epoch` epochs are done. */
export interface LaneReport {
  readonly lane: number;
  readonly epoch: number;
  /** Optimiser steps done. */
  readonly step: number;
  /**
   * In the order in which they are shown. Of classification: train_loss, train_accuracy, val_loss, val_accuracy (NaN when the
   * recipe holds no validation images out), learning_rate (of the epoch's last step), and after the last epoch, if the
   * recipe asks for it, test_loss and test_accuracy. Of a GAN: d_loss, g_loss, d_real_accuracy, d_fake_accuracy,
   * learning_rate.
   */
  readonly metrics: readonly { readonly name: string; readonly value: number }[];
  /** Training images of this lane a second of slice time, while it shared the device. */
  readonly images_per_second: number;
  /** What a generator draws from the same latent vectors after every epoch; `null` of classification. */
  readonly pictures: Pictures | null;
  /** All epochs are done; the lane waits to be saved and removed. */
  readonly finished: boolean;
}

/** A lane whose loss or weights stopped being finite. It trains no further; remove it. */
export interface LaneDivergence {
  readonly lane: number;
  /** Whole epochs done before. */
  readonly epoch: number;
  readonly step: number;
  /** What was not finite first. */
  readonly what: "loss" | "weights";
}

export interface LanePosition {
  readonly lane: number;
  readonly epoch: number;
  readonly step: number;
  /** Training loss of the last step, NaN before the first. */
  readonly loss: number;
}

export interface SliceResult {
  readonly reports: readonly LaneReport[];
  readonly diverged: readonly LaneDivergence[];
  readonly positions: readonly LanePosition[];
  /** `idle`: no lane has anything left to do. */
  readonly state: "more" | "idle" | "interrupted";
}

export interface TensorInfo {
  /** `place.op.parameter`: `0.conv2d.weight`, within others `4.residual.body.0.conv2d.weight`, `4.branches.1.0.…`. */
  readonly name: string;
  readonly shape: readonly number[];
}

export interface LaneWeights {
  readonly tensors: readonly TensorInfo[];
  /** All tensors one after another, float32, in PyTorch's layout (out, in, kh, kw). */
  readonly data: Float32Array;
}

export interface SessionMemory {
  readonly bytesPerLane: number;
  /** On the host with the workspaces: one a thread where there are as many lanes as threads, otherwise one. */
  readonly bytesShared: number;
  /** What the data set takes on a device with memory of its own, shared by sessions; 0 where it need not be copied. */
  readonly bytesDataset: number;
  /** What the device has left now; of the host all it has. */
  readonly bytesFree: number;
}

export interface SliceLimits {
  /** Checked once a batch; a slice always does at least one batch if there is one to do. */
  readonly maxMillis: number;
  /** Batches a lane, of training and evaluation alike; `null` for no limit. */
  readonly maxSteps: number | null;
}

export interface WriteOptions {
  /** Numbers of the characters to go on from, at least one. */
  readonly start: Uint8Array;
  readonly length: number;
  /** 0 takes the likeliest character each time; 1 draws as the network says; above it grows wilder. */
  readonly temperature: number;
}

/** What the calls of one layer in one direction took, or of one other operation (`layer` -1, no direction). */
export interface LayerTime {
  readonly layer: number;
  readonly op: string;
  readonly direction: "forward" | "backward" | "";
  readonly calls: number;
  /** Of the calling thread; lanes on different threads add up. */
  readonly seconds: number;
  /** A multiply-add counts 2, taps on padding count. 0 where no formula is known. */
  readonly flops: number;
  /** Of the operands, once each. */
  readonly bytes: number;
}

/** What a network sees of channel c: byte * scale[c] + shift[c]. */
export interface Normalisation {
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

export interface ClassifyOptions extends Normalisation {
  /** A Recipe as JSON. */
  readonly recipe: string;
  readonly device: string;
  /** Never changes a result. */
  readonly threads: number;
  /** As LaneWeights.data. */
  readonly weights: Float32Array;
  /** [image][channel][row][column], at most 65,536 of the recipe's shape. */
  readonly images: Uint8Array;
}

export type MeasuredPart = "validation" | "test";

export interface Session {
  readonly capacity: number;
  /** Puts a trial into a free lane and returns its index. Throws ENGINE_LANES_FULL. */
  addLane(options: LaneOptions): number;
  removeLane(lane: number): void;
  setHyperparameters(lane: number, values: Float64Array): void;
  /** Everything needed to continue the lane, to the bit, here or elsewhere. */
  saveLane(lane: number): Uint8Array;
  runSlice(limits: SliceLimits): SliceResult;
  weights(lane: number): LaneWeights;
  loadWeights(lane: number, data: Float32Array): void;
  /** Numbers of the characters that follow, drawn with the lane's seed. Only of recipes whose data set is a text. */
  writeText(lane: number, options: WriteOptions): Uint8Array;
  /**
   * Logits, [image][class], of a batch of images that are measured, of which a part has ceil(images / batch_size): the last
   * `validation` training images, or the test images. Only of recipes that classify images.
   */
  logits(lane: number, part: MeasuredPart, batch: number): Float32Array;
  normalisation(): Normalisation;
  memory(): SessionMemory;
  /** Times since the last call; empty unless the session was made with `profile`. */
  takeProfile(): readonly LayerTime[];
  /** Idempotent. Every other call after it throws ENGINE_CLOSED. */
  close(): void;
}

export interface LayerSummary {
  readonly op: string;
  /** Channels, rows, columns after the layer. */
  readonly output: readonly [number, number, number];
  /** Of the layer and of what it is made of, as are the multiply-adds. */
  readonly parameters: number;
  /** Multiply-adds of a forward pass of one image. */
  readonly multiplyAdds: number;
  /** The lists that a residual or branches is made of; most layers have none. */
  readonly parts: readonly LayerPart[];
}

export interface LayerPart {
  /** `residual.body`, `residual.shortcut`, `branches[0]`, ... */
  readonly place: string;
  readonly layers: readonly LayerSummary[];
}

export interface Engine {
  readonly version: string;
  /** backend + precision + engine version: trials compare to the bit where it is equal. */
  fingerprint(device: string): string;
  devices(): readonly DeviceInfo[];
  /** Copies the arrays once; a digest already there is not copied again. */
  registerDataset(digest: string, arrays: DatasetArrays): void;
  hasDataset(digest: string): boolean;
  /** Training images, then test images. Throws ENGINE_NO_DATASET unless they are registered. */
  datasetImages(
    digest: string,
    first: number,
    count: number,
  ): { readonly images: Uint8Array; readonly labels: Uint8Array };
  createSession(options: SessionOptions): Session;
  /** Memory of a session before it is made. */
  planSession(options: SessionSize): SessionMemory;
  /** Bytes that all sessions of this process hold now on devices that compute in the host's memory. */
  allocatedBytes(): number;
  /** The generated digit set, from its seed. */
  syntheticDigits(seed: number, train: number, test: number): DatasetArrays;
}

/** What a device says of itself just now; `null` what it cannot say, or nobody who could be asked is there. */
export interface DeviceUse {
  /** Share of the driver's last sample period (1/6 to 1 s) in which a kernel ran: 0 to 1. */
  readonly utilization: number | null;
  /** Bytes, of all processes and the driver together. */
  readonly memoryUsed: number | null;
  readonly memoryTotal: number | null;
  /** Degrees Celsius. */
  readonly temperature: number | null;
  /** Watts, of the whole board. */
  readonly power: number | null;
}

/** What the engine brings for CUDA, and what this machine has for it. */
export interface GpuSupport {
  /** Compiled with CUDA. */
  readonly built: boolean;
  /** Version of the CUDA runtime that is compiled in, `13.0`. */
  readonly runtime: string | null;
  /** The kernels that are compiled in: `sm_75`, ..., and `compute_90` for code that the driver compiles. */
  readonly kernels: readonly string[];
  /** The driver's version, `580.159.04`; `null` where none is, or NVML is missing. */
  readonly driver: string | null;
  /** The newest CUDA that the driver knows; `null` without a driver. */
  readonly driverCuda: string | null;
  /** Why nothing can be known of the devices' use. */
  readonly nvmlTrouble: string | null;
}

/**
 * Asks NVIDIA's management library, which is loaded when first asked: the file `library`, or for `null` CONVSWEEP_NVML,
 * else the driver's. Nothing that fails there rejects.
 */
export interface Telemetry {
  /** One answer a device, by `DeviceInfo.bus`. */
  deviceUse(buses: readonly string[], library: string | null): Promise<readonly DeviceUse[]>;
  gpuSupport(library: string | null): Promise<GpuSupport>;
}

export interface MatmulOptions {
  readonly device: string;
  /** [rows][inner] row by row, or [inner][rows] when `transposeA`. */
  readonly a: Float32Array;
  /** [inner][columns], or [columns][inner] when `transposeB`. */
  readonly b: Float32Array;
  /** Each from 1 to 65,536; at most 2^30 elements a matrix. */
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** Never changes a result. */
  readonly threads: number;
}

export interface ShortestPathsOptions {
  readonly device: string;
  /** From 1 to 65,536; at most 2^30 pairs. */
  readonly vertices: number;
  /** weights[i * vertices + j] is the edge from i to j, Infinity for none. May be negative; never NaN. */
  readonly weights: Float32Array;
  /** Whether the paths themselves are wanted too. */
  readonly next: boolean;
  /** Never changes a result. */
  readonly threads: number;
}

export interface ShortestPaths {
  /** Of the shortest path from i to j at [i * vertices + j]; 0 on the diagonal, Infinity where there is none. */
  readonly distance: Float32Array;
  /** The vertex after i on that path; i itself on the diagonal, -1 where there is none. `null` unless asked for. */
  readonly next: Int32Array | null;
}

/** Labelling images with weights that were kept. */
export interface Classifier {
  /** Logits, [image][class]. Runs off the calling thread, on copies of the arrays. */
  classify(options: ClassifyOptions): Promise<Float32Array>;
}

/** Large matrices, off any network. */
export interface MatrixOperations {
  /** op(a) op(b), row by row. Runs off the calling thread, on copies of the arrays. */
  matmul(options: MatmulOptions): Promise<Float32Array>;
  /**
   * Floyd and Warshall's algorithm by blocks; O(vertices^3). Runs off the calling thread, on a copy of the weights.
   * Rejects with ENGINE_BAD_ARGUMENT for a cycle of negative length, naming a vertex on it.
   */
  shortestPaths(options: ShortestPathsOptions): Promise<ShortestPaths>;
}
