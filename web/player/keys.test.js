import assert from "node:assert/strict"
import { test } from "node:test"

import { CODES, isBlack, letterOf, nameOf } from "./keys.js"

test("keys have their names and colours, and two octaves of them a letter", () => {
  assert.deepEqual([0, 21, 60, 61, 108].map(nameOf), ["C-1", "A0", "C4", "C♯4", "C8"])
  const octave = Array.from({ length: 12 }, (_, i) => (isBlack(60 + i) ? "b" : "w")).join("")
  assert.equal(octave, "wbwbwwbwbwbw")
  assert.equal(CODES.length, 24)
  assert.equal(CODES.map(letterOf).join(""), "zsxdcvgbhnjmq2w3er5t6y7u")
})
