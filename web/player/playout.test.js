import assert from "node:assert/strict"
import { test } from "node:test"

import { Playout } from "./playout.js"
import { Ring } from "./ring.js"

const RATE = 10000 // 50 ms are 500 samples, 3 ms are 30

/** A playout and its ring, with what was played. */
function made() {
  const ring = new Ring(Ring.buffer(8192, false))
  const playout = new Playout(ring, RATE)
  return {
    ring,
    playout,
    put: (count, value = 0.5) => assert.equal(ring.write(new Float32Array(count).fill(value)), count),
    play: (count) => {
      const output = new Float32Array(count).fill(9)
      playout.play(output)
      return output
    },
  }
}

test("silence until the store is full, then the sound fades in", () => {
  const { ring, put, play } = made()
  put(499)
  assert.ok(play(128).every((sample) => sample === 0))
  assert.equal(ring.filled, 499)
  put(1)
  const output = play(128)
  assert.equal(output[0], 0)
  for (let i = 1; i < 30; i++) assert.ok(output[i] > output[i - 1])
  assert.ok(output.subarray(30).every((sample) => sample === 0.5))
  assert.equal(ring.gaps, 0)
})

test("what is in time is played as it came", () => {
  const { ring, put, play } = made()
  put(500)
  play(100)
  const sent = Float32Array.from({ length: 400 }, (_, i) => Math.sin(i))
  play(400)
  ring.write(sent)
  assert.deepEqual(play(400), sent)
  assert.equal(ring.gaps, 0)
})

test("a gap fades to zero, waits for a larger store and fades in again", () => {
  const { ring, put, play } = made()
  put(500)
  play(450)
  const output = play(128) // 50 samples are left
  assert.ok(output.subarray(0, 50).every((sample) => sample === 0.5))
  for (let i = 50; i < 80; i++) assert.ok(output[i] < output[i - 1], `sample ${i}`)
  assert.ok(output.subarray(80).every((sample) => sample === 0))
  assert.deepEqual([ring.gaps, ring.target], [1, 600])
  put(599)
  assert.ok(play(128).every((sample) => sample === 0))
  put(1)
  const again = play(128)
  assert.equal(again[0], 0)
  assert.equal(again[40], 0.5)
  assert.equal(ring.gaps, 1) // waiting is not counted again
})

test("no step of the sound is larger than a fade makes it, however the gap falls", () => {
  for (let left = 0; left < 256; left += 5) {
    const { put, play } = made()
    put(512 + left)
    const heard = [...play(512), ...play(128), ...play(128), ...play(128)]
    put(700)
    heard.push(...play(128), ...play(128))
    for (let i = 1; i < heard.length; i++) assert.ok(Math.abs(heard[i] - heard[i - 1]) < 0.02, `left ${left}, ${i}`)
  }
})

test("the target goes up with each gap to 200 ms and comes down after calm times to 50 ms", () => {
  const { ring, put, play } = made()
  for (let gap = 1; gap < 30; gap++) {
    put(ring.target)
    play(ring.filled)
    play(1)
    assert.equal(ring.target, Math.min(2000, 500 + 100 * gap))
  }
  put(ring.target)
  const calm = (seconds) => {
    for (let i = 0; i < seconds * 10; i++) {
      put(1000)
      play(1000)
    }
  }
  calm(29)
  assert.equal(ring.target, 2000)
  calm(1)
  assert.equal(ring.target, 1900)
  calm(30 * 20)
  assert.equal(ring.target, 500)
})

test("the target comes down only where 30 ms were always in store", () => {
  const { ring, put, play } = made()
  put(500)
  play(501) // a gap, after which 60 ms are kept
  const sinks = (seconds, least) => {
    for (let i = 0; i < seconds * 20; i++) {
      put(least + 500 - ring.filled)
      play(500)
    }
  }
  sinks(60, 299)
  assert.deepEqual([ring.target, ring.gaps], [600, 1])
  sinks(30, 300)
  assert.equal(ring.target, 500)
  sinks(30, 500)
  assert.equal(ring.target, 500)
})

test("a close call raises the target before there is a gap, once for as long as the store takes to grow", () => {
  const { ring, put, play } = made()
  put(1000)
  play(501) // the sound has gone on for as long as the store is
  play(390) // 10.9 ms are left
  assert.equal(ring.target, 500)
  put(90)
  play(100) // 9.9 ms are left
  assert.equal(ring.target, 600)
  put(100)
  play(100)
  assert.equal(ring.target, 600)
  put(600)
  play(600)
  assert.deepEqual([ring.target, ring.gaps], [700, 0])
})
