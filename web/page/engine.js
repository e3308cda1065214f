/** The engine in WebAssembly: one stream of one model. Its functions are those of engine/include/wavewright/c.h. */

/** @import { Facts, Weight } from "./model.js" */

const EVENT = { release: 0, strike: 1, pedal: 2 }
const DOUBLE = 8 // bytes
const ALIKE = { clock_time_get: done, fd_close: done, fd_seek: done, fd_write: done, sched_yield: done }

/** What the module's C library asks of a system, which playing never needs. */
function done() {
  return 0
}

export class Engine {
  /**
   * Open a model.
   * @param {WebAssembly.Module} module
   * @param {Facts["engine"]} facts
   * @param {Map<string, Weight>} weights
   * @throws {Error} in one line, where the engine refuses the model
   */
  constructor(module, facts, weights) {
    const fail = (/** @type {number} */ reason) => this.#fail(reason)
    const instance = new WebAssembly.Instance(module, { wasi_snapshot_preview1: ALIKE, wavewright: { fail } })
    /** @type {any} */
    this.exports = instance.exports
    this.reason = "" // why the module failed
    this.calls._initialize()
    this.player = this.calls.ww_new()
    this.room = 0 // where samples and dense values go, and how many bytes there are
    this.bytes = 0
    for (const [name, value] of Object.entries(facts.fields)) this.#set(name, value)
    for (const [name, { shape, values }] of weights) this.#add(name, shape, values)
    this.#texts([facts.model, facts.precision], (model, precision) => this.calls.ww_open(this.player, model, precision))
  }

  /**
   * Go to the beginning, after endless silence.
   * @param {Uint32Array} key four numbers that decide the sound
   */
  reset(key) {
    new Uint32Array(this.#buffer, this.#make_room(16), 4).set(key)
    this.calls.ww_reset(this.player, this.room)
  }

  /**
   * Let an event of the keyboard wait for its sample.
   * @param {number} sample counted from the beginning
   * @param {"release" | "strike" | "pedal"} kind
   * @param {number} key 0 to 127
   * @param {number} value 0 to 127
   */
  feed(sample, kind, key, value) {
    this.calls.ww_feed(this.player, sample, EVENT[kind], key, value)
  }

  /**
   * Make the next amplitudes, in [-1, 1].
   * @param {number} count
   * @param {number} temperature
   * @param {number} top_p
   * @param {Float32Array} dense values of the control frames that begin, or of one for all of them
   * @returns {Float32Array}
   */
  generate(count, temperature, top_p, dense) {
    const room = this.#make_room(4 * (count + dense.length))
    const given = room + 4 * count
    new Float32Array(this.#buffer, given, dense.length).set(dense)
    this.calls.ww_generate(this.player, count, temperature, top_p, given, dense.length, room)
    return new Float32Array(this.#buffer, room, count).slice()
  }

  /**
   * Return all that the stream remembers.
   * @returns {Uint8Array}
   */
  state() {
    const size = this.calls.ww_state_size(this.player)
    const room = this.#make_room(size)
    this.calls.ww_save(this.player, room)
    return new Uint8Array(this.#buffer, room, size).slice()
  }

  /** @param {Uint8Array} state of this model */
  restore(state) {
    const room = this.#make_room(state.length)
    new Uint8Array(this.#buffer, room, state.length).set(state)
    this.calls.ww_restore(this.player, room, state.length)
  }

  /** The module's functions. One that failed has not cleaned up, and is not called again. */
  get calls() {
    if (this.reason) throw new Error(this.reason)
    return this.exports
  }

  /** The module's memory, which is another buffer after it has grown. */
  get #buffer() {
    return this.exports.memory.buffer
  }

  /**
   * @param {number} place of a text that says why a call failed
   * @returns {never}
   */
  #fail(place) {
    const bytes = new Uint8Array(this.#buffer, place)
    const text = new TextDecoder().decode(bytes.slice(0, bytes.indexOf(0)))
    this.reason = text
    throw new Error(text)
  }

  /** @param {number} bytes */
  #make_room(bytes) {
    if (bytes > this.bytes) {
      this.calls.free(this.room)
      this.room = this.calls.malloc(bytes)
      this.bytes = bytes
    }
    return this.room
  }

  /**
   * Call with the places of texts, which last until then.
   * @param {string[]} texts
   * @param {(...places: number[]) => void} call
   */
  #texts(texts, call) {
    const places = texts.map((text) => {
      const bytes = new TextEncoder().encode(`${text}\0`)
      const place = this.calls.malloc(bytes.length)
      new Uint8Array(this.#buffer, place).set(bytes)
      return place
    })
    call(...places)
    for (const place of places) this.calls.free(place)
  }

  /**
   * @param {string} name
   * @param {import("./model.js").Field} value
   */
  #set(name, value) {
    const { calls, player } = this
    if (typeof value === "string") this.#texts([name, value], (name, text) => calls.ww_set_text(player, name, text))
    else if (typeof value === "boolean") this.#texts([name], (name) => calls.ww_set_flag(player, name, Number(value)))
    else if (typeof value === "number") this.#texts([name], (name) => calls.ww_set_number(player, name, value))
    else {
      const room = this.#make_room(DOUBLE * value.length)
      new Float64Array(this.#buffer, room, value.length).set(value)
      this.#texts([name], (name) => calls.ww_set_numbers(player, name, room, value.length))
    }
  }

  /**
   * @param {string} name
   * @param {number[]} shape
   * @param {(room: Float32Array) => void} values
   */
  #add(name, shape, values) {
    const sizes = this.#make_room(4 * shape.length)
    new Uint32Array(this.#buffer, sizes, shape.length).set(shape)
    this.#texts([name], (name) => {
      const room = this.calls.ww_add_weight(this.player, name, sizes, shape.length)
      values(new Float32Array(this.#buffer, room, shape.reduce((all, size) => all * size, 1)))
    })
  }
}
