/**
 * A model that a page plays.
 *
 *     const player = await Player.open("9f3c...", 1)
 *     player.note_on(60, 100)
 *
 * The server makes the sound, a worker fetches it and a worklet plays it. Errors of the server that end nothing come as
 * events. All times are seconds.
 */

import { Ring } from "./ring.js"

const CAPACITY_SECONDS = 0.5 // more than is ever in store
const READY_MS = 20000 // a large model takes a while to be read
const OPENING_MS = 300000 // a checkpoint that is played for the first time takes longer
const SILENCE = 1e-5

/**
 * @typedef {object} Control
 * @property {string} name
 * @property {string} kind "notes", "category", "number", "time" or another
 * @property {string} text a line for people
 * @property {number | null} low
 * @property {number | null} high
 * @property {string | null} unit
 * @property {string[] | null} classes
 */

/**
 * @typedef {object} Ready
 * @property {number} rate samples a second
 * @property {number} block samples that are made at once
 * @property {string} title
 * @property {string[]} titles of the models
 * @property {"mix" | "compare" | "turns" | null} way in which two of them play
 * @property {Control[]} controls
 * @property {{ low: number, high: number } | null} keyboard the lowest and the highest MIDI key
 */

/**
 * @typedef {object} Second
 * @property {string} model its id
 * @property {"mix" | "compare" | "turns"} way "mix": both draw each sample together, by the control "amount". "compare":
 *   both play the same side by side, and `hear` chooses. "turns": the same, but the one that is not heard stands still.
 */

/** Fires the events "recorded", "bank", "score", "load", "error", "store" and "closed", with the message as `detail`. */
export class Player extends EventTarget {
  /** @type {Ready} */
  ready
  /** Times that the sound broke off for a moment. */
  gaps = 0
  /** Seconds of sound in store, by which a key is late. */
  store = 0
  /** Share of its time that the server needs to make the sound. From 1 on there are gaps. */
  load = 0

  /**
   * Open a model and let it sound.
   * @param {string} model its id
   * @param {number} seed decides the sound, together with what is played
   * @param {{ second?: Second | null, told?: (line: string) => void, seconds?: number }} more a second model, what takes
   *   a line where opening takes a while, and the seconds of sound to keep in store at least
   * @returns {Promise<Player>}
   * @throws {Error} with the server's line, where it refuses
   */
  static async open(model, seed, { second = null, told = () => {}, seconds } = {}) {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" })
    try {
      const both = second ? { second: second.model, way: second.way } : {}
      const ready = await opened(worker, { type: "open", model, seed, ...both }, told)
      const context = new AudioContext({ sampleRate: ready.rate, latencyHint: "interactive" })
      await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url))
      const player = new Player(worker, context, ready, seconds)
      await context.resume()
      return player
    } catch (error) {
      worker.postMessage({ close: true })
      throw error
    }
  }

  /**
   * @param {Worker} worker that has opened a model
   * @param {AudioContext} context at the model's rate, with the worklet's module
   * @param {Ready} ready
   * @param {number} [seconds] of sound to keep in store at least, unless the worklet's own
   */
  constructor(worker, context, ready, seconds) {
    super()
    this.ready = ready
    this.worker = worker
    this.context = context
    // WebKit on Linux has isolated pages without shared memory.
    const shared = globalThis.crossOriginIsolated === true && "SharedArrayBuffer" in globalThis
    const capacity = 2 ** Math.ceil(Math.log2(CAPACITY_SECONDS * ready.rate))
    const buffer = Ring.buffer(capacity, shared)
    this.node = new AudioWorkletNode(context, "wavewright-player", {
      numberOfInputs: 0,
      outputChannelCount: [1],
      processorOptions: { buffer, seconds },
    })
    if (shared) worker.postMessage({ play: buffer })
    else {
      const { port1, port2 } = new MessageChannel()
      this.node.port.postMessage(port1, [port1])
      worker.postMessage({ play: port2 }, [port2])
    }
    this.gain = new GainNode(context)
    this.analyser = new AnalyserNode(context, { fftSize: 2048 })
    this.node.connect(this.gain).connect(this.analyser).connect(context.destination)
    this.heard = new Float32Array(this.analyser.fftSize)
    worker.onmessage = ({ data }) => this.#receive(data)
  }

  /** @param {{ type: string } & Record<string, any>} message */
  #receive(message) {
    if (message.type === "store") {
      this.gaps = message.gaps
      this.store = message.seconds
    } else if (message.type === "load") this.load = message.share
    this.dispatchEvent(new CustomEvent(message.type, { detail: message }))
  }

  /** @param {object} message to the server */
  #send(message) {
    this.worker.postMessage({ send: message })
  }

  /**
   * Strike a key.
   * @param {number} key MIDI number, 60 is the middle C
   * @param {number} velocity 1 to 127
   */
  note_on(key, velocity = 100) {
    this.#send({ type: "note_on", key, velocity })
  }

  /** @param {number} key MIDI number */
  note_off(key) {
    this.#send({ type: "note_off", key })
  }

  /** @param {number} position of the sustain pedal, 0 to 127 */
  pedal(position) {
    this.#send({ type: "pedal", position })
  }

  /**
   * Play a score from its beginning.
   * @param {string} score its id
   */
  score(score) {
    this.#send({ type: "score", score })
  }

  /**
   * Choose which of two models that are compared is heard.
   * @param {1 | 2} deck
   */
  hear(deck) {
    this.#send({ type: "hear", deck })
  }

  /** Release all keys and the pedal, and end the score. */
  panic() {
    this.#send({ type: "panic" })
  }

  /**
   * Set a control, "temperature" or "top_p".
   * @param {string} name
   * @param {number | string | null} value a number, a class, a mixture such as "a:0.3,b:0.7", or null for absent
   */
  control(name, value) {
    this.#send({ type: "control", name, value })
  }

  /**
   * Let a control follow straight lines between points and hold the last one.
   * @param {string} name
   * @param {[number, number][]} points seconds from now and values
   */
  curve(name, points) {
    this.#send({ type: "curve", name, points })
  }

  /**
   * Let the model continue the end of a recording.
   * @param {string} recording its id
   * @param {number} seconds
   */
  prime(recording, seconds) {
    this.#send({ type: "prime", recording, seconds })
  }

  /**
   * Keep the sound's state in a bank, or go back to it.
   * @param {"save" | "recall"} what
   * @param {1 | 2 | 3} slot
   */
  bank(what, slot) {
    this.#send({ type: "bank", do: what, slot })
  }

  /** @param {boolean} on whether what is heard is written to a take */
  record(on) {
    this.#send({ type: "record", on })
  }

  /** @param {number} gain of what is heard, 0 to 1 */
  set volume(gain) {
    this.gain.gain.setTargetAtTime(gain, this.context.currentTime, 0.01)
  }

  /** Seconds from a key to the ear. What is played counts a block after it came, and a block is on its way. */
  get latency() {
    const { block, rate } = this.ready
    return this.store + (2 * block) / rate + this.context.baseLatency + (this.context.outputLatency || 0)
  }

  /** The last samples that were heard. */
  wave() {
    this.analyser.getFloatTimeDomainData(this.heard)
    return this.heard
  }

  /** The peak of the last samples in dB below full scale. */
  level() {
    let peak = SILENCE
    for (const sample of this.wave()) peak = Math.max(peak, Math.abs(sample))
    return 20 * Math.log10(peak)
  }

  /** End the sound and let the model go. */
  async close() {
    this.node.port.postMessage("close")
    this.worker.postMessage({ close: true })
    if (this.context.state !== "closed") await this.context.close()
  }
}

/**
 * Ask the worker to open a model, and wait for the server's answer.
 * @param {Worker} worker
 * @param {object} open the message
 * @param {(line: string) => void} told
 * @returns {Promise<Ready>}
 */
function opened(worker, open, told) {
  return new Promise((done, failed) => {
    const wait = (/** @type {number} */ time) =>
      setTimeout(() => failed(new Error("the server does not answer; see its terminal")), time)
    let late = wait(READY_MS)
    const refuse = (/** @type {string} */ line) => {
      clearTimeout(late)
      failed(new Error(line))
    }
    worker.onmessage = ({ data }) => {
      if (data.type === "error") refuse(data.message)
      if (data.type === "closed") refuse("the server ended the connection; see its terminal")
      if (data.type === "opening") {
        clearTimeout(late)
        late = wait(OPENING_MS)
        told(data.line)
      }
      if (data.type !== "ready") return
      clearTimeout(late)
      done(data)
    }
    worker.onerror = () => refuse("the player's worker could not be loaded; reload the page")
    const url = new URL("/ws/play", location.href)
    url.protocol = url.protocol.replace("http", "ws")
    worker.postMessage({ url: url.href, open })
  })
}
