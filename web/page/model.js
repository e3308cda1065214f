/** Reads a model file, as docs/model-file.md specifies it. */

/**
 * What the page is told of its model (`sharing/page.py`).
 * @typedef {object} Facts
 * @property {number} format
 * @property {string | null} title
 * @property {string | null} author
 * @property {string | null} licence
 * @property {string | null} description
 * @property {string} name
 * @property {string} kind
 * @property {number} rate samples a second
 * @property {number} levels
 * @property {number} parameters
 * @property {number} bytes
 * @property {string} sha256 of the model file
 * @property {{ temperature: number, top_p: number }} draw
 * @property {Control[]} controls
 * @property {number} hop samples for which a control frame holds
 * @property {number} dense values of a frame that are given
 * @property {{ model: string, precision: string, fields: Record<string, Field> }} engine
 */

/** @typedef {boolean | number | string | number[]} Field */

/**
 * @typedef {import("../player/player.js").Control & { size: number, offset: number, flag: number }} Control
 */

/** @typedef {{ shape: number[], values: (room: Float32Array) => void }} Weight */

/**
 * Return the weights of a model file by their names.
 *
 * `wavewright page` has checked every field and tensor of the file. So this checks that it is the same file, to the bit.
 * @param {ArrayBuffer} bytes
 * @param {string} sha256 in hexadecimal
 * @returns {Promise<Map<string, Weight>>}
 * @throws {Error} in one line, where it is another file
 */
export async function weightsOf(bytes, sha256) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")
  if (found !== sha256) {
    throw new Error("model.safetensors: damaged, or not the file of this page; copy the folder again, or run wavewright page")
  }
  const start = 8 + Number(new DataView(bytes).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(bytes.slice(8, start)))
  delete header.__metadata__
  const weights = new Map()
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name.startsWith("parity.") || name.endsWith(".scale")) continue
    const raw = bytes.slice(start + data_offsets[0], start + data_offsets[1])
    const scales = header[`${name}.scale`]?.data_offsets
    const scale = scales && new Float32Array(bytes.slice(start + scales[0], start + scales[1]))
    weights.set(name, { shape, values: (/** @type {Float32Array} */ room) => unpack(room, dtype, raw, scale, shape) })
  }
  return weights
}

/**
 * @param {Float32Array} room
 * @param {string} dtype
 * @param {ArrayBuffer} raw
 * @param {Float32Array | undefined} scale of each row of an I8 tensor, and of each tap of a kernel
 * @param {number[]} shape
 */
function unpack(room, dtype, raw, scale, shape) {
  if (dtype === "F32") return room.set(new Float32Array(raw))
  if (dtype === "BF16") {
    const bits = new Uint32Array(room.buffer, room.byteOffset, room.length)
    return new Uint16Array(raw).forEach((half, i) => (bits[i] = half << 16))
  }
  if (!scale) throw new Error(`${dtype}: without a scale`)
  const taps = shape[2] ?? 1
  const row = shape[1] * taps
  const numbers = new Int8Array(raw)
  for (let i = 0; i < room.length; i++) room[i] = numbers[i] * scale[Math.floor(i / row) * taps + (i % taps)]
}
