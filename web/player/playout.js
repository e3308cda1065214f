/** Plays a ring without clicks: waits for a store of samples, fades where they are late, and sets how many to keep. */

/** @import { Ring } from "./ring.js" */

const FADE_SECONDS = 0.003
const STEP_SECONDS = 0.01 // by which the target goes up after a gap or a close call, and down after a calm time
const CLOSE_SECONDS = 0.01 // in store, below which it is a close call
const MOST_SECONDS = 0.2
const CALM_SECONDS = 30

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
    this.fade = Math.round(FADE_SECONDS * rate)
    this.playing = false
    this.calm = 0 // samples since the last change of the target
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
   * Raise the target after a gap, and after a close call once the last raise has had time to come. Lower it after a calm
   * time.
   * @param {number} samples played now
   * @param {boolean} gap
   */
  #adapt(samples, gap) {
    this.calm += samples
    if (gap) {
      this.playing = false
      this.ring.count_gap()
    }
    if (gap || (this.ring.filled < this.close && this.calm > this.ring.target)) {
      this.calm = 0
      this.ring.target = Math.min(this.most, this.ring.target + this.step)
    } else if (this.calm >= CALM_SECONDS * this.rate) {
      this.calm = 0
      this.ring.target = Math.max(this.least, this.ring.target - this.step)
    }
  }
}
