import assert from "node:assert/strict"
import { test } from "node:test"

import { Player } from "./player.js"

/** A page without a server: the worker that a player starts, which the test speaks for. */
function page() {
  const posted = []
  const workers = []
  class FalseWorker {
    constructor() {
      workers.push(this)
    }
    postMessage(message) {
      posted.push(message)
    }
  }
  Object.assign(globalThis, { Worker: FalseWorker, location: { href: "http://here/" } })
  return { posted, say: (message) => workers.at(-1).onmessage({ data: message }) }
}

test("a second model is opened in the way that is asked for, and what takes a while is told", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] })
  const { posted, say } = page()
  const lines = []
  const second = { model: "b", way: "compare" }
  const opened = Player.open("a", 7, { second, told: (line) => lines.push(line) })
  const open = { type: "open", model: "a", seed: 7, second: "b", way: "compare" }
  assert.deepEqual(posted, [{ url: "ws://here/ws/play", open }])
  say({ type: "opening", line: "run is made ready" })
  assert.deepEqual(lines, ["run is made ready"])
  t.mock.timers.tick(60000) // a checkpoint takes longer than a model
  say({ type: "error", message: "mix: the encoding differs" })
  await assert.rejects(opened, /^Error: mix: the encoding differs$/)
  assert.deepEqual(posted.at(-1), { close: true })
})

test("a server that says nothing is given up", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] })
  const { posted } = page()
  const opened = Player.open("a", 1)
  assert.deepEqual(posted[0].open, { type: "open", model: "a", seed: 1 })
  t.mock.timers.tick(21000)
  await assert.rejects(opened, /the server does not answer/)
})

/** What a `Player` needs of a browser's sound, without any sound. */
class FalseNode {
  constructor() {
    this.port = { postMessage() {} }
  }
  connect(next) {
    return next
  }
}

for (const [isolated, memory, way] of [[true, true, "memory"], [true, false, "port"], [false, false, "port"]])
  test(`isolated ${isolated} and shared memory ${memory}: the worker and the worklet share a ${way}`, (t) => {
    const { posted } = page()
    const { SharedArrayBuffer } = globalThis
    const names = ["AudioWorkletNode", "GainNode", "AnalyserNode"]
    t.after(() => {
      Object.assign(globalThis, { SharedArrayBuffer })
      for (const name of ["crossOriginIsolated", ...names]) delete globalThis[name]
    })
    Object.assign(globalThis, { crossOriginIsolated: isolated }, ...names.map((name) => ({ [name]: FalseNode })))
    if (!memory) delete globalThis.SharedArrayBuffer
    new Player(new Worker(), {}, { rate: 14700 })
    const { play } = posted.at(-1)
    assert.equal(play instanceof MessagePort ? "port" : "memory", way)
    if (play instanceof MessagePort) play.close()
  })
