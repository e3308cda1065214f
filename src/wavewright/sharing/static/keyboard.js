/** A keyboard on the page, for the mouse, fingers and the computer's keys, as the studio has it. */

import { CODES, isBlack, letterOf, nameOf } from "../player/keys.js"

const NARROW = 30 // pixels of a white key
const BLACK = 0.62 // of the width of a white key
export class Keyboard {
  /**
   * @param {HTMLElement} place
   * @param {{ low: number, high: number }} range MIDI keys
   * @param {(key: number, velocity: number) => void} strike
   * @param {(key: number) => void} release
   */
  constructor(place, range, strike, release) {
    this.range = range
    this.strike = strike
    this.release = release
    /** @type {Map<string, number>} */
    this.down = new Map() // keys by what holds them: a pointer, or a key of the computer
    this.home = range.low <= 60 && 60 <= range.high ? 60 : Math.ceil(range.low / 12) * 12
    this.focus = this.home
    this.keys = Object.assign(document.createElement("div"), { className: "keys" })
    this.keys.role = "group"
    this.keys.ariaLabel = `Keyboard, ${nameOf(range.low)} to ${nameOf(range.high)}`
    const frame = Object.assign(document.createElement("div"), { className: "frame" })
    this.lower = this.#octave("◂", "An octave down", -12)
    this.higher = this.#octave("▸", "An octave up", 12)
    frame.append(this.lower, this.keys, this.higher)
    place.replaceChildren(frame)
    this.#listen()
    new ResizeObserver(() => this.#draw()).observe(this.keys)
  }

  /**
   * @param {string} text
   * @param {string} label
   * @param {number} by
   */
  #octave(text, label, by) {
    const button = Object.assign(document.createElement("button"), { className: "octave", textContent: text, ariaLabel: label })
    button.onclick = () => {
      this.home += by
      this.#draw()
    }
    return button
  }

  #listen() {
    this.keys.onpointerdown = this.keys.onpointermove = (event) => this.#point(event)
    this.keys.onkeydown = this.keys.onkeyup = (event) => this.#walk(event)
    this.keys.addEventListener("focusin", ({ target }) => (this.focus = Number(/** @type {HTMLElement} */ (target).dataset.key)))
    addEventListener("pointerup", ({ pointerId }) => this.#let_go(`pointer ${pointerId}`))
    addEventListener("pointercancel", ({ pointerId }) => this.#let_go(`pointer ${pointerId}`))
    addEventListener("blur", () => [...this.down.keys()].forEach((holder) => this.#let_go(holder)))
    addEventListener("keyup", ({ code }) => this.#let_go(code))
    addEventListener("keydown", (event) => {
      const place = CODES.indexOf(event.code)
      if (place < 0 || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return
      event.preventDefault() // a list would go to an entry of that letter
      this.#hold(event.code, this.home + place, 100)
    })
  }

  /** Draw the keys that fit, around the two octaves of the computer's keys. */
  #draw() {
    const { low, high } = this.range
    const whites = Array.from({ length: high - low + 1 }, (_, i) => low + i).filter((key) => !isBlack(key))
    const count = Math.min(whites.length, Math.max(7, Math.floor(this.keys.clientWidth / NARROW)))
    const home = whites.findIndex((key) => key >= this.home)
    const wanted = (home < 0 ? whites.length : home) - Math.max(0, Math.floor((count - 15) / 2))
    const start = Math.min(Math.max(0, wanted), whites.length - count)
    const shown = whites.slice(start, start + count)
    const width = 100 / count
    const buttons = shown.map((key, place) => this.#key(key, place * width, width))
    for (const [place, key] of shown.entries()) {
      if (place === count - 1 || !isBlack(key + 1) || key + 1 > high) continue
      buttons.splice(buttons.findIndex(({ dataset }) => dataset.key === `${key}`) + 1, 0,
        this.#key(key + 1, (place + 1 - BLACK / 2) * width, BLACK * width))
    }
    this.keys.replaceChildren(...buttons)
    if (!buttons.some(({ dataset }) => Number(dataset.key) === this.focus)) this.focus = shown[0]
    this.lower.disabled = this.home - 12 < low - 11
    this.higher.disabled = this.home + 12 > high
    this.#show()
  }

  /**
   * @param {number} key
   * @param {number} left per cent
   * @param {number} width per cent
   */
  #key(key, left, width) {
    const button = document.createElement("button")
    button.dataset.key = `${key}`
    button.classList.toggle("black", isBlack(key))
    button.style.left = `${left}%`
    button.style.width = `${width}%`
    const letter = letterOf(CODES[key - this.home] ?? "")
    button.append(Object.assign(document.createElement("span"), { textContent: letter, ariaHidden: "true" }))
    button.append(Object.assign(document.createElement("span"), { textContent: nameOf(key), className: key % 12 ? "hide" : "" }))
    return button
  }

  /** Show which keys are held, and which the Tab key reaches. */
  #show() {
    const held = [...this.down.values()]
    for (const button of this.keys.querySelectorAll("button")) {
      const key = Number(button.dataset.key)
      button.classList.toggle("held", held.includes(key))
      button.ariaPressed = `${held.includes(key)}`
      button.tabIndex = key === this.focus ? 0 : -1
    }
  }

  /**
   * @param {string} holder
   * @param {number} key
   * @param {number} velocity
   */
  #hold(holder, key, velocity) {
    if (this.down.get(holder) === key) return
    this.#let_go(holder)
    if (key < this.range.low || key > this.range.high) return
    this.down.set(holder, key)
    this.strike(key, velocity)
    this.#show()
  }

  /** @param {string} holder */
  #let_go(holder) {
    const key = this.down.get(holder)
    if (key === undefined) return
    this.down.delete(holder)
    if (![...this.down.values()].includes(key)) this.release(key)
    this.#show()
  }

  /**
   * Strike the key under a pointer: the lower on the key, the louder.
   * @param {PointerEvent} event
   */
  #point(event) {
    if (event.type === "pointermove" && !event.buttons) return
    const key = /** @type {HTMLElement | null} */ (document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-key]"))
    if (!key) return this.#let_go(`pointer ${event.pointerId}`)
    const box = key.getBoundingClientRect()
    const velocity = Math.round(45 + (80 * (event.clientY - box.top)) / box.height)
    this.#hold(`pointer ${event.pointerId}`, Number(key.dataset.key), Math.min(127, Math.max(1, velocity)))
  }

  /** @param {KeyboardEvent} event on a key that has the focus */
  #walk(event) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault()
      if (event.type === "keyup") this.#let_go(event.code)
      else if (!event.repeat) this.#hold(event.code, this.focus, 100)
    }
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key]
    if (!by || event.type === "keyup") return
    event.preventDefault()
    const next = /** @type {HTMLElement | null} */ (this.keys.querySelector(`[data-key="${this.focus + by}"]`))
    next?.focus()
    this.#show()
  }
}
