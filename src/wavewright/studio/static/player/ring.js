/**
 * A ring of samples between one thread that writes and one that reads.
 *
 * Both threads make a `Ring` of the same buffer. With a SharedArrayBuffer they share it without waiting for each other.
 * With an ArrayBuffer one thread does both. Places count all samples, modulo 2 ** 32.
 */

const WRITTEN = 0
const READ = 1
const TARGET = 2
const GAPS = 3
const HEADER = 4 // numbers of 32 bits before the samples

export class Ring {
  /**
   * Make the buffer of a ring.
   * @param {number} capacity samples that the ring holds, a power of two
   * @param {boolean} shared whether two threads use the ring
   * @returns {ArrayBufferLike}
   */
  static buffer(capacity, shared) {
    if (!(capacity > 0) || capacity & (capacity - 1)) throw new RangeError(`capacity: ${capacity}; give a power of two`)
    const bytes = 4 * (HEADER + capacity)
    return shared ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes)
  }

  /** @param {ArrayBufferLike} buffer that `Ring.buffer` made */
  constructor(buffer) {
    this.header = new Int32Array(buffer, 0, HEADER)
    this.samples = new Float32Array(buffer, 4 * HEADER)
    this.mask = this.samples.length - 1
  }

  /** Samples that can be read now. */
  get filled() {
    return (Atomics.load(this.header, WRITTEN) - Atomics.load(this.header, READ)) | 0
  }

  /** All samples read so far, modulo 2 ** 32. */
  get read_so_far() {
    return Atomics.load(this.header, READ)
  }

  /** Samples that the reader wants to have in store. */
  get target() {
    return Atomics.load(this.header, TARGET)
  }

  set target(samples) {
    Atomics.store(this.header, TARGET, samples)
  }

  /** Times that the reader found too little. */
  get gaps() {
    return Atomics.load(this.header, GAPS)
  }

  count_gap() {
    Atomics.add(this.header, GAPS, 1)
  }

  /**
   * Write samples, as many as there is room for.
   * @param {Float32Array} samples
   * @returns {number} how many were written
   */
  write(samples) {
    const start = Atomics.load(this.header, WRITTEN)
    const count = Math.min(samples.length, this.samples.length - this.filled)
    const place = start & this.mask
    const first = Math.min(count, this.samples.length - place)
    this.samples.set(samples.subarray(0, first), place)
    this.samples.set(samples.subarray(first, count), 0)
    Atomics.store(this.header, WRITTEN, (start + count) | 0)
    return count
  }

  /**
   * Read samples into the start of `output`, as many as there are. The rest of `output` stays as it is.
   * @param {Float32Array} output
   * @returns {number} how many were read
   */
  read(output) {
    const start = Atomics.load(this.header, READ)
    const count = Math.min(output.length, this.filled)
    for (let i = 0; i < count; i++) output[i] = this.samples[(start + i) & this.mask]
    Atomics.store(this.header, READ, (start + count) | 0)
    return count
  }
}
