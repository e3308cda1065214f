const NAMES = ["C", "C♯", "D", "E♭", "E", "F", "F♯", "G", "A♭", "A", "B♭", "B"];
export const CODES = ["KeyZ", "KeyS", "KeyX", "KeyD", "KeyC", "KeyV", "KeyG", "KeyB", "KeyH", "KeyN", "KeyJ", "KeyM",
    "KeyQ", "Digit2", "KeyW", "Digit3", "KeyE", "KeyR", "Digit5", "KeyT", "Digit6", "KeyY", "Digit7", "KeyU"];
export const letterOf = (code) => code.replace(/Key|Digit/, "").toLowerCase();
export const isBlack = (key) => [1, 3, 6, 8, 10].includes(key % 12);
export const nameOf = (key) => `${NAMES[key % 12]}${Math.floor(key / 12) - 1}`;
