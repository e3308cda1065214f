// Numbers as people read them, and a word of help for each thing that has a name of its own.

/** 0:07, 12:30 or 1:05:00. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60]
  if (!parts[0]) parts.shift()
  return parts.map((part, place) => (place ? String(part).padStart(2, "0") : String(part))).join(":")
}

/** 40 s, 12 min or 2.5 h. */
export function span(seconds: number): string {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`
}

/** 950, 12,000 or 1.2 million: two or three digits that count. */
export function about(count: number): string {
  if (count >= 1e6) return `${(count / 1e6).toPrecision(2)} million`
  return Number(count.toPrecision(2)).toLocaleString("en")
}

export function plural(count: number, thing: string): string {
  return `${count.toLocaleString("en")} ${thing}${count === 1 ? "" : "s"}`
}

export function bytes(count: number): string {
  if (count < 1e6) return `${Math.max(1, Math.round(count / 1e3))} kB`
  return count < 1e9 ? `${(count / 1e6).toFixed(1)} MB` : `${(count / 1e9).toFixed(1)} GB`
}

export function kilohertz(rate: number): string {
  return `${Number((rate / 1000).toFixed(2))} kHz`
}

/** A name that no other of `taken` has. */
export function fresh(wanted: string, taken: string[]): string {
  const clean = wanted.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "") || "mine"
  let name = clean
  for (let next = 2; taken.includes(name); next++) name = `${clean}-${next}`
  return name
}

export const HELP = {
  section: "Training shuffles sections. Recordings are cut into them, and what is shorter than one is one by itself.",
  corpus: "A corpus is your recordings made ready for training: one sample rate, one level, and a part kept aside to test with.",
  rate: "How many samples make a second of sound. Half of it is the highest tone that a model can play. Lower rates learn and play faster.",
  labels:
    "Labels tell the model what is in each file, so that you can ask for it later. Write how your files are named: {note}_{voice} reads 60_bright.wav as note 60, voice bright.",
  describe: "What is measured in every recording. Each becomes a knob that the model follows.",
  bits: "How many bits the model still needs to guess the next sample of music that it has never heard. Lower is better.",
  entropy: "What a guess costs that knows how often each value occurs, but hears nothing (zero-order entropy). A model has learned something below this line.",
  temperature: "How daring the model is. 1 plays as it has learned, lower is calmer, higher is wilder.",
  top_p: "Leaves out the least likely values. At 1 nothing is left out. 0.9 keeps stray noises away.",
  seed: "The same seed and the same playing give the same sound.",
  score: "A MIDI file that the model plays on its keys. You can play along, turn knobs, and record it. Panic ends it.",
  second: "Mix: both models choose each sample together, and a knob says how much each counts. Compare: both play the same side by side, and you switch which one you hear. In turns: the same, but the one that you do not hear stands still, for computers that are too slow for both.",
  amount: "How much the second model counts. At 0 the first plays alone, at 1 the second.",
  prime: "The model listens to the end of a recording, and goes on from there.",
  banks: "A bank keeps the state of the sound at this moment. Recall goes back to it, as often as you like.",
  from: "A new training can start from what another model has learned. Both need the same kind, size and sample rate.",
  items: "The first take of each model is judged beside the first ones of the others, the second beside the second, and so on. All are brought to one loudness.",
  reference: "The model whose takes are right by definition, such as the original. It is shown, and hidden once among the others. Who misses it often is left out.",
} as const
