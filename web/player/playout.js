/** Plays a ring without clicks: waits for a store of samples, fades where they are late, and sets how many to keep. */

/** @import { Ring } from "./ring.js" */

const FADE_SECONDS = 0.003
const STEP_SECONDS = 0.01 // by which the target goes up after a gap or a close call, and down after a calm time
const CLOSE_SECONDS = 0.01 // in store, below which it is a close call
const MOST_SECONDS = 0.2
const CALM_SECONDS = 30
const SPARE_SECONDS = 0.03 // that were always in store in a calm time, so that a step less leaves no close call

export class Playout {
  /**
   * @param {Ring} ring whose target this sets
   * @param {number} rate samples a second
   * @param {number} seconds of sound to keep in store at first and at least
   */
  constructor(ring, rate, seconds = 0.05) {
    this.ring = ring
    this.rate = rate
    this.least = Math.round(seconds * rate)
    this.most = Math.max(this.least, Math.round(MOST_SECONDS * rate))
    this.step = Math.round(STEP_SECONDS * rate)
    this.close = Math.round(CLOSE_SECONDS * rate)
    this.enough = Math.round(SPARE_SECONDS * rate)
    this.fade = Math.round(FADE_SECONDS * rate)
    this.playing = false
    this.calm = 0 // samples since the last change of the target
    this.spare = Infinity // the fewest samples in store since the last change had time to come
    this.last = 0 // the last sample that was played
    this.rising = 0 // samples of the fade-in still to come
    this.falling = 0 // samples of the fade-out still to come
    ring.target = this.least
  }

  /**
   * Fill `output` with the next samples, or with silence until there are enough.
   * @param {Float32Array} output
   */
  play(output) {
    if (!this.playing && this.ring.filled >= this.ring.target) {
      this.playing = true
      this.rising = this.fade
    }
    const count = this.playing ? this.ring.read(output) : 0
    for (let i = 0; i < count && this.rising; i++) output[i] *= 1 - this.rising-- / this.fade
    if (count) {
      this.last = output[count - 1]
      this.falling = 0
    }
    if (count < output.length) this.#fall(output, count)
    if (this.playing) this.#adapt(output.length, count < output.length)
  }

  /**
   * Fill the rest of `output` with the last sample that fades to zero, and silence.
   * @param {Float32Array} output
   * @param {number} start
   */
  #fall(output, start) {
    if (this.playing) this.falling = this.fade
    for (let i = start; i < output.length; i++) {
      output[i] = this.falling ? (this.last * --this.falling) / this.fade : 0
    }
  }

  /**
   * Raise the target after a gap, and after a close call once the last change has had time to come. Lower it after a
   * calm time in which more was in store than was needed.
   * @param {number} samples played now
   * @param {boolean} gap
   */
  #adapt(samples, gap) {
    this.calm += samples
    if (gap) {
      this.playing = false
      this.ring.count_gap()
    }
    if (this.calm > this.ring.target) this.spare = Math.min(this.spare, this.ring.filled)
    if (gap || this.spare < this.close) this.#aim(this.step)
    else if (this.calm >= CALM_SECONDS * this.rate) this.#aim(this.spare >= this.enough ? -this.step : 0)
  }

  /** @param {number} change of the target */
  #aim(change) {
    this.ring.target = Math.max(this.least, Math.min(this.most, this.ring.target + change))
    this.calm = 0
    this.spare = Infinity
  }
}
