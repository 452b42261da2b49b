/** Array files as NumPy and the publishers of MNIST write them. */

/** numpy.lib.format, version 1: the header padded to a multiple of 64. */
export function npy(descr: string, dims: readonly number[], values: Uint8Array, fortran = false): Uint8Array {
  const shape = dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(", ")})`;
  const words = `{'descr': '${descr}', 'fortran_order': ${fortran ? "True" : "False"}, 'shape': ${shape}, }`;
  const header = `${words.padEnd(64 * Math.ceil((words.length + 11) / 64) - 11)}\n`;
  const start = Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, header.length & 0xff, header.length >> 8]);
  return Buffer.concat([start, Buffer.from(header, "latin1"), values]);
}

export function idx(type: number, dims: readonly number[], values: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + 4 * dims.length);
  header.set([0, 0, type, dims.length]);
  for (const [i, dim] of dims.entries()) header.writeUInt32BE(dim, 4 + 4 * i);
  return Buffer.concat([header, values]);
}
