/**
 * The audio thread: plays what the worker puts into the ring.
 *
 * With a shared ring the worker writes it. Otherwise the worker sends blocks over a port, they are put into a ring of
 * this thread's own, and what was played is told over the port.
 */

import { Playout } from "./playout.js"
import { Ring } from "./ring.js"

const UNSHARED_SECONDS = 0.08 // in store where blocks come as messages, which other work of the page can hold up

class WavewrightPlayer extends AudioWorkletProcessor {
  /** @param {{ processorOptions: { buffer: ArrayBufferLike, seconds?: number } }} options */
  constructor(options) {
    super()
    const { buffer, seconds } = options.processorOptions
    const shared = !(buffer instanceof ArrayBuffer)
    this.ring = new Ring(buffer)
    this.playout = new Playout(this.ring, sampleRate, seconds ?? (shared ? undefined : UNSHARED_SECONDS))
    this.over = false
    /** @type {MessagePort | null} */
    this.worker = null
    this.port.onmessage = ({ data }) => {
      if (data === "close") this.over = true
      else this.#listen(data)
    }
  }

  /** @param {MessagePort} port to the worker */
  #listen(port) {
    this.worker = port
    port.onmessage = ({ data }) => this.ring.write(data)
    this.#tell()
  }

  #tell() {
    this.worker?.postMessage({ read: this.ring.read_so_far, target: this.ring.target, gaps: this.ring.gaps })
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, outputs) {
    this.playout.play(outputs[0][0])
    this.#tell()
    return !this.over
  }
}

registerProcessor("wavewright-player", WavewrightPlayer)
