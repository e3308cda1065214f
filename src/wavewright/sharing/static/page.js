/** The page of one model, which a worker plays in this tab. */

import { Player } from "../player/player.js"
import { show_controls } from "./controls.js"
import { Keyboard } from "./keyboard.js"

/** @import { Facts } from "./model.js" */

const FORMAT = 1 // of the facts
const STORE_SECONDS = 0.03 // of sound, where the worklet shares memory with the worker
const SENT_SECONDS = 0.05 // where blocks are sent as messages
const QUIET = -60 // dB at the left end of the level
const LEVEL_MS = 60 // between two looks at the level

const part = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id))

/** @type {Player | null} */
let player = null
/** @type {Record<string, number | string | null>} */
const values = {} // set before the first sound

/**
 * @param {string} line
 * @param {boolean} [bad]
 */
function say(line, bad = false) {
  part("status").textContent = line
  part("status").classList.toggle("bad", bad)
}

/** @param {Facts} facts */
function show_facts(facts) {
  const controls = facts.controls.map(({ text }) => text)
  const rows = {
    title: facts.title,
    author: facts.author,
    licence: facts.licence,
    kind: `${facts.kind}, ${facts.parameters.toLocaleString("en")} parameters in ${facts.engine.precision}`,
    sound: `${facts.rate.toLocaleString("en")} samples a second, of ${facts.levels.toLocaleString("en")} codes`,
    controls: controls.length ? controls.join("; ") : "none",
    size: `${(facts.bytes / 1e6).toFixed(1)} MB`,
  }
  for (const [name, text] of Object.entries(rows)) {
    if (!text) continue
    const term = Object.assign(document.createElement("dt"), { textContent: name })
    part("facts").append(term, Object.assign(document.createElement("dd"), { textContent: text }))
  }
}

/**
 * Ask the worker to load the model, and return how many samples it makes at once.
 * @param {Worker} worker
 * @param {Facts} facts
 * @returns {Promise<number>}
 */
function loaded(worker, facts) {
  return new Promise((done, failed) => {
    worker.onmessage = ({ data }) => (data.type === "ready" ? done(data.block) : failed(new Error(data.message)))
    worker.onerror = () => failed(new Error("the page's worker could not be loaded; copy the folder again"))
    worker.postMessage({ load: facts })
  })
}

/**
 * Begin to play, which a browser allows after a click only.
 * @param {Worker} worker
 * @param {Facts} facts
 * @param {number} block samples that the worker makes at once
 */
async function start(worker, facts, block) {
  const context = new AudioContext({ sampleRate: facts.rate, latencyHint: "interactive" })
  await context.audioWorklet.addModule(new URL("../player/worklet.js", import.meta.url))
  const notes = facts.controls.find(({ kind }) => kind === "notes")
  const keyboard = notes ? { low: Number(notes.low), high: Number(notes.high) } : null
  const title = facts.title ?? facts.name
  const ready = { rate: facts.rate, block, title, titles: [title], way: null, controls: facts.controls, keyboard }
  const made = new Player(worker, context, ready, globalThis.crossOriginIsolated ? STORE_SECONDS : SENT_SECONDS)
  made.addEventListener("error", (event) => say(/** @type {CustomEvent} */ (event).detail.message, true))
  made.addEventListener("bank", () => (part("recall").disabled = false))
  made.addEventListener("closed", () => {
    for (const button of document.querySelectorAll("button")) button.disabled = true
  })
  for (const [name, value] of Object.entries(values)) made.control(name, value)
  for (const id of ["panic", "pedal", "begin", "save"]) part(id).disabled = false
  player = made
}

/** Show the level and the wave of what is heard. */
function show_sound() {
  if (!player || player.context.state !== "running") return
  const decibels = player.level()
  part("level").value = Math.max(QUIET, decibels)
  part("decibels").textContent = decibels < -90 ? "silent" : `${decibels.toFixed(1)} dB`
  const gaps = player.gaps === 1 ? "1 gap" : `${player.gaps} gaps`
  part("delay").textContent = `${Math.round(1000 * player.latency)} ms from a key to your ear, and ${gaps} in the sound so far.`
  part("delay").hidden = false
  draw(part("screen"), player.wave())
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} wave
 */
function draw(canvas, wave) {
  canvas.width = canvas.clientWidth * devicePixelRatio
  canvas.height = canvas.clientHeight * devicePixelRatio
  const { width, height } = canvas
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"))
  const style = getComputedStyle(canvas)
  const line = (/** @type {string} */ colour, /** @type {Float32Array} */ samples) => {
    context.strokeStyle = style.getPropertyValue(colour)
    context.lineWidth = 1.5 * devicePixelRatio
    context.beginPath()
    samples.forEach((sample, i) => context.lineTo((i * width) / (samples.length - 1), (height / 2) * (1 - sample)))
    context.stroke()
  }
  line("--screen-line", new Float32Array(2))
  line("--screen-ink", wave)
}

async function open() {
  const response = await fetch(new URL("../model.json", import.meta.url))
  if (!response.ok) throw new Error(`model.json: the web server answers ${response.status}`)
  /** @type {Facts} */
  const facts = await response.json()
  if (facts.format !== FORMAT) throw new Error("model.json: of another version than this page; run wavewright page again")
  show_facts(facts)
  show_controls(part("controls"), facts, (name, value) => {
    values[name] = value
    player?.control(name, value)
  })
  const notes = facts.controls.find(({ kind }) => kind === "notes")
  if (notes) {
    const range = { low: Number(notes.low), high: Number(notes.high) }
    const strike = (/** @type {number} */ key, /** @type {number} */ velocity) => {
      if (player?.context.state === "running") player.note_on(key, velocity)
    }
    new Keyboard(part("keys"), range, strike, (key) => player?.note_off(key))
  }
  for (const id of ["keys", "panic", "pedal"]) part(id).hidden = !notes
  part("begin").hidden = Boolean(notes) || !facts.controls.some(({ kind }) => kind === "time")
  draw(part("screen"), new Float32Array(2))
  const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" })
  const block = await loaded(worker, facts)
  say(notes ? "Press Play, then play the keys. The letters are the keys of your computer." : "Press Play. The model plays by itself.")
  listen(worker, facts, block)
}

/**
 * @param {Worker} worker that has loaded the model
 * @param {Facts} facts
 * @param {number} block samples that it makes at once
 */
function listen(worker, facts, block) {
  const power = part("power")
  power.disabled = false
  power.onclick = async () => {
    power.disabled = true
    const on = power.ariaPressed !== "true"
    try {
      if (!player) await start(worker, facts, block)
      await (on ? player?.context.resume() : player?.context.suspend())
      power.ariaPressed = `${on}`
      power.textContent = on ? "Stop" : "Play"
    } catch (error) {
      say(/** @type {Error} */ (error).message, true)
    }
    power.disabled = false
  }
  part("panic").onclick = () => {
    part("pedal").ariaPressed = "false"
    player?.panic()
  }
  part("begin").onclick = () => player?.note_on(60)
  part("save").onclick = () => player?.bank("save", 1)
  part("recall").onclick = () => player?.bank("recall", 1)
  part("pedal").onclick = () => {
    const down = part("pedal").ariaPressed !== "true"
    part("pedal").ariaPressed = `${down}`
    player?.pedal(down ? 127 : 0)
  }
  setInterval(show_sound, LEVEL_MS)
}

open().catch((error) => say(error.message, true))
