import assert from "node:assert/strict"
import { test } from "node:test"

import { Ring } from "./ring.js"

const RATE = 10000
const BLOCK = 100 // samples

/** A worker in this thread, with a false server: what it sends to the server and tells the page. */
async function started(t, name) {
  t.mock.timers.enable({ apis: ["setInterval"] })
  const sent = []
  const told = []
  let socket
  class FalseSocket {
    static OPEN = 1
    readyState = 1
    constructor(url) {
      this.url = url
      socket = this
    }
    send(text) {
      sent.push(JSON.parse(text))
    }
  }
  Object.assign(globalThis, { self: {}, WebSocket: FalseSocket, postMessage: (message) => told.push(message) })
  await import(`./worker.js?${name}`)
  const tell = (data) => globalThis.self.onmessage({ data })
  tell({ url: "ws://here/ws/play", open: { type: "open", model: "m", seed: 1 } })
  socket.onopen()
  socket.onmessage({ data: JSON.stringify({ type: "ready", rate: RATE, block: BLOCK }) })
  return { sent, told, tell, receive: (samples) => socket.onmessage({ data: new Float32Array(samples).fill(0.25).buffer }) }
}

const credit = (sent) => sent.filter(({ type }) => type === "credit").reduce((sum, { samples }) => sum + samples, 0)

test("the server is granted the store and one block, and then what was played", async (t) => {
  const { sent, told, tell, receive } = await started(t, "shared")
  assert.deepEqual(sent, [{ type: "open", model: "m", seed: 1 }])
  assert.equal(told[0].type, "ready")
  const ring = new Ring(Ring.buffer(4096, true))
  tell({ play: ring.header.buffer })
  t.mock.timers.tick(100)
  assert.equal(credit(sent), 0) // until the worklet says what it wants
  ring.target = 500
  t.mock.timers.tick(100)
  assert.equal(credit(sent), 600)
  receive(600)
  assert.equal(ring.filled, 600)
  t.mock.timers.tick(100)
  assert.equal(credit(sent), 600) // while nobody hears, nothing is made
  ring.read(new Float32Array(128))
  t.mock.timers.tick(4)
  assert.equal(credit(sent), 728)
  ring.target = 400 // a smaller store is reached by granting less
  ring.read(new Float32Array(50))
  t.mock.timers.tick(4)
  assert.equal(credit(sent), 728)
  ring.read(new Float32Array(51))
  t.mock.timers.tick(4)
  assert.equal(credit(sent), 729)
})

test("without shared memory, blocks and counts go over a port", async (t) => {
  const { sent, told, tell, receive } = await started(t, "sent")
  const blocks = []
  const port = Object.assign(Object.create(MessagePort.prototype), { postMessage: (samples) => blocks.push(samples) })
  let listener
  Object.defineProperty(port, "onmessage", { set: (made) => (listener = made) })
  tell({ play: port })
  t.mock.timers.tick(100)
  assert.equal(credit(sent), 0)
  listener({ data: { read: 0, target: 800, gaps: 0 } })
  t.mock.timers.tick(4)
  assert.equal(credit(sent), 900)
  receive(100)
  assert.deepEqual([blocks.length, blocks[0].length, blocks[0][99]], [1, 100, 0.25])
  listener({ data: { read: 100, target: 900, gaps: 1 } })
  t.mock.timers.tick(4)
  assert.equal(credit(sent), 1100)
  assert.deepEqual(told.at(-1), { type: "store", gaps: 1, seconds: 0.09 })
})
