// What the server's rows hold.

/** What a preset makes of a model: its weights, and the samples that a step of training hears. */
export interface Size {
  weights: number
  samples: number
}

export interface Session {
  version: string
  folder: string
  cores: number
  disk_free: number
  presets: Record<string, Record<string, Size>> // of each model
  models_help: Record<string, string>
  listeners: string | null // where invited listeners reach blind tests
  rate_default: number
  section_default: number // seconds
}

export interface Recording {
  id: string
  name: string
  bytes: number
  added: number
  state: "examining" | "ready" | "refused"
  reason: string | null
  seconds: number
  rate: number
  channels: number
  format: string
  peak: number
  rms_dbfs: number | null
  dc: number
  clipped: number
  silence_seconds: number
  notes: string[]
  score: { notes: number; fit: number } | null
}

export interface Corpus {
  id: string
  name: string
  state: "preparing" | "ready" | "failed"
  reason: string | null
  rate: number
  minutes: { train: number; valid: number; test: number }
  recordings: number
  left_out: { name: string; why: string }[]
  controls: { name: string; text: string }[]
  bytes: number
}

export type RunState = "queued" | "running" | "stopping" | "stopped" | "finished" | "failed"

export interface Run {
  id: string
  name: string
  state: RunState
  reason: string | null
  model: string | null
  preset: string | null
  corpus: string | null
  minutes: number | null
  seconds: number | null
  step: number | null
  bits: number | null
  best: number | null
  entropy: number | null
  eta: number | null
  started: number | null
  bytes: number
}

export interface Control {
  name: string
  kind: string
  text: string
  low: number | null
  high: number | null
  unit: string | null
  classes: string[] | null
}

export interface Model {
  id: string
  name: string
  source: "package" | "run" | "file"
  title: string | null
  description: string | null
  licence: string | null
  model: string | null
  rate: number | null
  codes: string | null // what two models must have in common to be mixed
  checkpoints: { id: string; step: number }[] // the last one first
  playable: boolean
  why: string | null
  controls: Control[]
  temperature: number | null
  top_p: number | null
}

/** A MIDI file that players play. */
export interface MidiScore {
  id: string
  name: string
  source: "package" | "file"
}

export interface Take {
  id: string
  name: string
  seconds: number
  made: number
  model: string
  seed: number
}

export interface Sample {
  step: number
  seconds: number
}

/** A line of metrics.jsonl: a step, a validation or what the guard did. */
export interface MetricsRecord {
  step: number
  event?: string
  bits?: number
  reason?: string
  before?: number
  now?: number
  verdict?: string
  time?: { seconds: number; samples_per_second: number }
}

export interface Waveform {
  seconds: number
  peaks: [number, number][]
}

export type Method = "ab" | "abx" | "mos" | "multi"

/** A blind listening test. Its systems are the models of its takes. */
export interface Test {
  id: string
  name: string
  method: Method
  question: string
  reference: string | null
  made: number
  items: number
  systems: string[]
  trials: number // of each listener
  listeners: number
  answers: number
}

export interface Stimulus {
  url: string
  seconds: number
}

/** What a listener judges at once. */
export interface Trial {
  trial: number
  item: number
  stimuli: Stimulus[]
  reference: Stimulus | null
  answered: boolean
}

export interface Trials {
  listener: string
  name: string
  method: Method
  question: string
  trials: Trial[]
}

/** A listener who has a link to a test. */
export interface Invitation {
  listener: number
  name: string
  expires: number
  answers: number
}

export type Answer = "first" | "second" | "tie" | number | number[]

/** A score of a system, and the ends of its interval of 95%. */
export interface Score {
  name: string
  score: number
  low: number
  high: number
  answers: number
}

export interface Pair {
  first: string
  second: string
  wins: number
  ties: number
  losses: number
  p: number
}

export interface Results {
  method: Method
  listeners: { name: string; answers: number; excluded: string | null }[]
  systems: Score[]
  pairs: Pair[]
  correct: { right: number; of: number; p: number } | null
}
