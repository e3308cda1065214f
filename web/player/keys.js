/** MIDI keys: their names, and where the keys of a computer lie on them. */

const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"]

/** The keys of a computer that play two octaves from a C on, as trackers lay them out, by `KeyboardEvent.code`. */
export const CODES = ["KeyZ", "KeyS", "KeyX", "KeyD", "KeyC", "KeyV", "KeyG", "KeyB", "KeyH", "KeyN", "KeyJ", "KeyM",
  "KeyQ", "Digit2", "KeyW", "Digit3", "KeyE", "KeyR", "Digit5", "KeyT", "Digit6", "KeyY", "Digit7", "KeyU"]

/**
 * The letter or digit of a code, on a keyboard as in the United States.
 * @param {string} code
 */
export const letterOf = (code) => code.replace(/Key|Digit/, "").toLowerCase()

/** @param {number} key */
export const isBlack = (key) => [1, 3, 6, 8, 10].includes(key % 12)

/**
 * The name of a key, where 60 is C4.
 * @param {number} key
 */
export const nameOf = (key) => `${NAMES[key % 12]}${Math.floor(key / 12) - 1}`
