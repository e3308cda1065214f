/** One stream of a model that is played while it sounds, as `playing/instrument.py` does. */

/** @import { Engine } from "./engine.js" */
/** @import { Control, Facts } from "./model.js" */

const TIME_UNIT = 0.01 // seconds, from which on a time doubles
const PERIODS = [1, 2, 4, 8, 16] // doublings
const NOTHING = new Float32Array(0)

export class Instrument {
  /**
   * @param {Engine} engine
   * @param {Facts} facts
   * @param {Uint32Array} key four numbers that decide the sound
   */
  constructor(engine, facts, key) {
    this.engine = engine
    this.facts = facts
    this.place = 0 // samples made
    this.began = 0 // the sample from which the time runs
    this.draw = { ...facts.draw }
    this.held = new Set()
    this.dense = new Float32Array(facts.dense)
    for (const { kind, flag } of facts.controls) this.dense[flag] = kind === "notes" || kind === "time" ? 0 : 1
    this.time = facts.controls.find(({ kind }) => kind === "time")
    engine.reset(key)
  }

  /**
   * Strike a key, or begin a new sound where there is no keyboard.
   * @param {number} key MIDI number
   * @param {number} velocity
   */
  note_on(key, velocity) {
    this.began = this.place
    if (!this.#keyboard) return
    this.held.add(key)
    this.engine.feed(this.place, "strike", key, velocity)
  }

  /** @param {number} key MIDI number */
  note_off(key) {
    if (this.held.delete(key)) this.engine.feed(this.place, "release", key, 0)
  }

  /** @param {number} position of the sustain pedal, 0 to 127 */
  pedal(position) {
    if (this.#keyboard) this.engine.feed(this.place, "pedal", 0, position)
  }

  /** Release all keys and the pedal. */
  panic() {
    for (const key of [...this.held]) this.note_off(key)
    this.pedal(0)
  }

  /**
   * Set a control, "temperature" or "top_p".
   * @param {string} name
   * @param {number | string | null} value a number, a class, or null for absent
   */
  control(name, value) {
    const control = this.facts.controls.find((control) => control.name === name)
    if (control) return this.#set(control, value)
    const good = typeof value === "number" && (name === "temperature" ? value >= 0 && value < Infinity : value > 0 && value <= 1)
    if (!(name === "temperature" || name === "top_p") || !good) throw new RangeError(`${name}: ${value} is out of range`)
    this.draw[name] = value
  }

  /**
   * @param {Control} control
   * @param {number | string | null} value
   */
  #set(control, value) {
    const { low, high, classes, offset, size, flag, name } = control
    const features = new Float32Array(size)
    if (typeof value === "string") {
      const place = classes?.indexOf(value) ?? -1
      if (place < 0) throw new RangeError(`${name}: no class '${value}'`)
      features[place] = 1
    } else if (value !== null) {
      if (low === null || high === null || !(low <= value && value <= high)) throw new RangeError(`${name}: ${value} is out of range`)
      if (control === this.time) features.set(time_features(control, value))
      else features[0] = (2 * (value - low)) / (high - low) - 1
    }
    if (control === this.time) this.began = Infinity // it stays, until a strike lets it run again
    this.dense.set(features, offset)
    this.dense[flag] = value === null ? 1 : 0
  }

  /**
   * Make the next samples.
   * @param {number} samples
   * @returns {Float32Array} amplitudes in [-1, 1]
   */
  generate(samples) {
    const made = this.engine.generate(samples, this.draw.temperature, this.draw.top_p, this.#frames(samples))
    this.place += samples
    return made
  }

  /**
   * Return all that the instrument remembers, but for what is set.
   * @returns {{ engine: Uint8Array, place: number, began: number, held: Set<number> }}
   */
  state() {
    return { engine: this.engine.state(), place: this.place, began: this.began, held: new Set(this.held) }
  }

  /** @param {ReturnType<Instrument["state"]>} moment */
  restore(moment) {
    this.engine.restore(moment.engine)
    Object.assign(this, { place: moment.place, began: moment.began, held: new Set(moment.held) })
  }

  get #keyboard() {
    return this.facts.controls.some(({ kind }) => kind === "notes")
  }

  /**
   * Return the dense values of the frames that begin within the next samples, or one frame for all of them.
   * @param {number} samples
   */
  #frames(samples) {
    const { time, facts } = this
    if (!time || this.began > this.place + samples) return this.dense
    const first = Math.ceil(this.place / facts.hop)
    const count = Math.ceil((this.place + samples) / facts.hop) - first
    if (!count) return NOTHING
    const frames = new Float32Array(count * facts.dense)
    for (let i = 0; i < count; i++) {
      const seconds = Math.max(0, (first + i) * facts.hop - this.began) / facts.rate
      this.dense.set(time_features(time, seconds), time.offset)
      this.dense[time.flag] = 0
      frames.set(this.dense, i * facts.dense)
    }
    return frames
  }
}

/**
 * @param {Control} time
 * @param {number} seconds
 */
function time_features(time, seconds) {
  const doublings = Math.log2(1 + Math.min(seconds, /** @type {number} */ (time.high)) / TIME_UNIT)
  const angles = PERIODS.map((period) => (2 * Math.PI * doublings) / period)
  return [...angles.map(Math.sin), ...angles.map(Math.cos)]
}
