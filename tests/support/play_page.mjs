// Plays the folder of a page without a browser: node play_page.mjs FOLDER < actions.json > amplitudes.f32
//
// An action is the name of a method of Instrument and its arguments. What "generate" returns is written. "keep" and
// "go_back" take a state and restore it. "seconds" writes the seconds of the processor for so many blocks.
import { readFileSync, writeSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"

const [folder] = process.argv.slice(2)
const { key, actions } = JSON.parse(readFileSync(0, "utf-8"))
const from = (name) => import(pathToFileURL(join(folder, "page", name)).href)
const { Engine } = await from("engine.js")
const { Instrument } = await from("instrument.js")
const { weightsOf } = await from("model.js")

const buffer = (name) => Uint8Array.from(readFileSync(join(folder, name))).buffer
const output = (numbers) => {
  const bytes = new Uint8Array(numbers.buffer)
  for (let place = 0; place < bytes.length; ) place += writeSync(1, bytes, place)
}

try {
  const facts = JSON.parse(readFileSync(join(folder, "model.json"), "utf-8"))
  const weights = await weightsOf(buffer("model.safetensors"), facts.sha256)
  const engine = new Engine(await WebAssembly.compile(buffer("page/engine.wasm")), facts.engine, weights)
  const instrument = new Instrument(engine, facts, Uint32Array.from(key))
  let kept
  for (const [name, ...values] of actions) {
    if (name === "keep") kept = instrument.state()
    else if (name === "go_back") instrument.restore(kept)
    else if (name === "seconds") {
      const [blocks, samples] = values
      const times = Array.from({ length: blocks }, () => {
        const before = process.cpuUsage()
        instrument.generate(samples)
        const { user, system } = process.cpuUsage(before)
        return (user + system) / 1e6
      })
      output(Float32Array.from(times))
    } else {
      const made = instrument[name](...values)
      if (name === "generate") output(made)
    }
  }
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
