/**
 * The thread that plays the model. It answers the page as the studio's server answers: `Player` gives the messages of
 * both. It makes a block when the worklet has less than it wants to have in store, and so nothing while nobody hears.
 */

import { storeOf } from "../player/store.js"
import { Engine } from "./engine.js"
import { Instrument } from "./instrument.js"
import { weightsOf } from "./model.js"

/** @import { Facts } from "./model.js" */

const LOOK_MS = 2 // between two looks at what was played
const MOST_MS = 20 // of making sound before messages are read again
const BLOCK = 64 // samples
const BANKS = 3
const WARM_SECONDS = 0.25 // of sound that nobody hears, after which the browser has compiled the engine for speed

/** @type {Instrument} */
let instrument
/** @type {import("../player/store.js").Store} */
let store
let made = 0 // samples, modulo 2 ** 32 as the ring counts
let gaps = 0
let target = 0
/** @type {(ReturnType<Instrument["state"]> | null)[]} */
const banks = Array(BANKS).fill(null)

function fill() {
  const until = performance.now() + MOST_MS
  try {
    while (performance.now() < until) {
      const state = store.state
      if (!state.target || ((state.read + state.target - made) | 0) <= 0) break
      store.write(instrument.generate(BLOCK))
      made = (made + BLOCK) | 0
    }
  } catch (error) {
    postMessage({ type: "error", message: /** @type {Error} */ (error).message })
    postMessage({ type: "closed" })
    return self.close()
  }
  const state = store.state
  if (state.gaps !== gaps || state.target !== target) {
    gaps = state.gaps
    target = state.target
    postMessage({ type: "store", gaps, seconds: target / instrument.facts.rate })
  }
}

/** @type {Record<string, (message: any) => void>} */
const HANDLERS = {
  note_on: ({ key, velocity }) => instrument.note_on(key, velocity),
  note_off: ({ key }) => instrument.note_off(key),
  pedal: ({ position }) => instrument.pedal(position),
  panic: () => instrument.panic(),
  control: ({ name, value }) => instrument.control(name, value),
  bank({ do: what, slot }) {
    const kept = banks[slot - 1]
    if (what === "save") banks[slot - 1] = instrument.state()
    else if (kept) instrument.restore(kept)
    postMessage({ type: "bank", slots: banks.map(Boolean) })
  },
}

/** @param {string} name of a file beside the page */
async function fetched(name) {
  const response = await fetch(new URL(name, import.meta.url))
  if (!response.ok) throw new Error(`${name.replace("../", "")}: the web server answers ${response.status}`)
  return response.arrayBuffer()
}

/** @param {Facts} facts */
async function load(facts) {
  try {
    const [code, file] = await Promise.all([fetched("engine.wasm"), fetched("../model.safetensors")])
    const engine = new Engine(await WebAssembly.compile(code), facts.engine, await weightsOf(file, facts.sha256))
    const key = crypto.getRandomValues(new Uint32Array(4))
    new Instrument(engine, facts, key).generate(Math.round(WARM_SECONDS * facts.rate))
    instrument = new Instrument(engine, facts, key)
    postMessage({ type: "ready", block: BLOCK })
  } catch (error) {
    postMessage({ type: "error", message: /** @type {Error} */ (error).message })
  }
}

self.onmessage = ({ data }) => {
  if (data.load) load(data.load)
  else if (data.play) {
    store = storeOf(data.play)
    setInterval(fill, LOOK_MS)
  } else if (data.send) {
    try {
      HANDLERS[data.send.type]?.(data.send)
    } catch (error) {
      postMessage({ type: "error", message: /** @type {Error} */ (error).message })
    }
  } else if (data.close) self.close()
}
