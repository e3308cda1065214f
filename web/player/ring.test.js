import assert from "node:assert/strict"
import { test } from "node:test"
import { Worker } from "node:worker_threads"

import { Ring } from "./ring.js"

/** Numbers in [0, 1) that are the same each time. */
function chance(seed) {
  return () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }
}

/** What a ring does, slowly: a list. */
class SlowRing {
  constructor(capacity) {
    this.capacity = capacity
    this.list = []
  }
  write(samples) {
    const count = Math.min(samples.length, this.capacity - this.list.length)
    this.list.push(...samples.slice(0, count))
    return count
  }
  read(count) {
    return this.list.splice(0, count)
  }
}

for (const shared of [true, false]) {
  test(`a ring equals a list under random writes and reads, shared ${shared}`, () => {
    const random = chance(7)
    const ring = new Ring(Ring.buffer(64, shared))
    const slow = new SlowRing(64)
    let next = 0
    for (let turn = 0; turn < 5000; turn++) {
      if (random() < 0.5) {
        const samples = Float32Array.from({ length: Math.floor(random() * 90) }, () => next++ % 65536)
        assert.equal(ring.write(samples), slow.write(samples))
      } else {
        const output = new Float32Array(Math.floor(random() * 90)).fill(-1)
        const count = ring.read(output)
        assert.deepEqual([...output.subarray(0, count)], slow.read(output.length))
        assert.ok(output.subarray(count).every((sample) => sample === -1))
      }
      assert.equal(ring.filled, slow.list.length)
    }
    assert.ok(next > 20000)
  })
}

test("places wrap around where 32 bits end", () => {
  const ring = new Ring(Ring.buffer(8, true))
  ring.header[0] = ring.header[1] = 2 ** 31 - 3
  const output = new Float32Array(6)
  for (let i = 0; i < 4; i++) {
    assert.equal(ring.write(Float32Array.of(i, 1, 2, 3, 4, 5)), 6)
    assert.equal(ring.filled, 6)
    assert.equal(ring.read(output), 6)
    assert.deepEqual([...output], [i, 1, 2, 3, 4, 5])
  }
})

test("a capacity that is no power of two is refused", () => {
  for (const capacity of [0, 3, -4, NaN]) assert.throws(() => Ring.buffer(capacity, false), /power of two/)
})

test("two threads share a ring in order", async () => {
  const buffer = Ring.buffer(256, true)
  const program = `
    import { workerData } from "node:worker_threads"
    const { Ring } = await import(workerData.url)
    const ring = new Ring(workerData.buffer)
    for (let next = 0; next < 100000; ) {
      const samples = Float32Array.from({ length: 1 + next % 97 }, (_, i) => next + i)
      next += ring.write(samples)
    }`
  const url = new URL("ring.js", import.meta.url).href
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(program)}`), {
    workerData: { buffer, url },
  })
  const ring = new Ring(buffer)
  const output = new Float32Array(61)
  let next = 0
  while (next < 100000) {
    const count = ring.read(output)
    for (let i = 0; i < count; i++) assert.equal(output[i], next++)
    if (!count) await new Promise(setImmediate)
  }
  await worker.terminate()
})
