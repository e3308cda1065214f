/** Where a worker puts samples for the worklet. The `state` tells what the worklet has read and wants to have in store. */

import { Ring } from "./ring.js"

/** Reads from a ring that the worklet shares with this thread. */
class SharedStore {
  /** @param {ArrayBufferLike} buffer */
  constructor(buffer) {
    this.ring = new Ring(buffer)
  }
  get state() {
    return { read: this.ring.read_so_far, target: this.ring.target, gaps: this.ring.gaps }
  }
  /** @param {Float32Array} samples */
  write(samples) {
    this.ring.write(samples)
  }
}

/** Sends blocks to the worklet, which tells over the same port what it played. */
class SentStore {
  /** @param {MessagePort} port */
  constructor(port) {
    this.port = port
    this.state = { read: 0, target: 0, gaps: 0 }
    port.onmessage = ({ data }) => (this.state = data)
  }
  /** @param {Float32Array} samples */
  write(samples) {
    this.port.postMessage(samples, [samples.buffer])
  }
}

/** @typedef {SharedStore | SentStore} Store */

/**
 * Return the store of what `Player` tells its worker to fill: a shared ring, or a port to the worklet.
 * @param {ArrayBufferLike | MessagePort} place
 * @returns {Store}
 */
export const storeOf = (place) => (place instanceof MessagePort ? new SentStore(place) : new SharedStore(place))
