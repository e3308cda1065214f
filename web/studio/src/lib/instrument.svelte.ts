// The model that sounds, and everything that a person has set. It plays on while other screens are shown.

import { Player } from "/player/player.js"

import { listening } from "./listening.svelte"
import { studio } from "./studio.svelte"
import type { Control, Model } from "./types"
import { HELP } from "./words"

export type Value = number | string | null
export type Points = [number, number][]

/** A control that is turned: a number between two ends. */
export interface Dial {
  name: string
  title: string
  low: number
  high: number
  unit: string
  rest: number | null // where it stands at first; null: the model decides
  help: string
}

/** A model that can be chosen, or a checkpoint of a run. */
export interface Choice {
  id: string
  title: string
  model: Model
}

export type Way = "mix" | "compare" | "turns"

const KEY = "wavewright-model"
const FOLLOW_MS = 50 // between two looks of a knob at its curve
const BESIDE_SECONDS = 0.09 // of sound in store where a training takes a core now and then
const RETRIES = 10
const RETRY_MS = 200
const BLANK = [false, false, false]

class Instrument {
  player = $state.raw<Player | null>(null)
  opening = $state("") // what is opened
  second = $state("") // id of the model beside the first one
  way = $state<Way>("mix")
  deck = $state<1 | 2>(1) // which of two is heard
  score = $state("") // id of the score that is chosen
  scored = $state.raw<{ began: number; seconds: number } | null>(null) // the score that plays; milliseconds, seconds
  lit = $state<number[]>([]) // keys that it holds
  load = $state(0)
  picked = $state(localStorage.getItem(KEY) ?? "")
  seed = $state(1)
  volume = $state(0.8)
  held = $state<number[]>([]) // by hand
  values = $state<Record<string, Value>>({})
  banks = $state<boolean[]>(BLANK)
  recording = $state<number | null>(null) // when it began, in milliseconds
  gaps = $state(0)
  latency = $state(0)
  curves = $state<Record<string, { began: number; points: Points }>>({})
  #follow: ReturnType<typeof setInterval> | undefined

  /** What can be played: models, and after each run its checkpoints. */
  get choices(): Choice[] {
    return studio.lists.models.flatMap((model) => [
      { id: model.id, title: model.title ?? model.name, model },
      ...model.checkpoints.map(({ id, step }) => ({ id, title: `${model.name}, step ${step.toLocaleString("en")}`, model })),
    ])
  }

  get choice(): Choice | undefined {
    const first = this.choices.filter(({ model }) => model.playable).sort((a, b) => keys(b.model) - keys(a.model))[0]
    return this.choices.find(({ id }) => id === this.picked) ?? first
  }

  get model(): Model | undefined {
    return this.choice?.model
  }

  /** What can play beside the first model, in the way that is chosen. */
  get beside(): Choice[] {
    const { choice, way } = this
    const fits = ({ rate, codes }: Model) => (way === "mix" ? codes === choice?.model.codes : rate === choice?.model.rate)
    return choice ? this.choices.filter(({ id, model }) => id !== choice.id && model.playable && fits(model)) : []
  }

  /** What plays beside the first model, unless it cannot or is gone. */
  get other(): Choice | undefined {
    return this.beside.find(({ id }) => id === this.second)
  }

  /** Whether two models play of which one is heard. */
  get switches(): boolean {
    return ["compare", "turns"].includes(this.player?.ready.way ?? "")
  }

  get controls(): Control[] {
    return this.player?.ready.controls ?? this.model?.controls ?? []
  }

  get keyboard(): { low: number; high: number } | null {
    if (this.player) return this.player.ready.keyboard
    const notes = this.model?.controls.find(({ kind }) => kind === "notes")
    return notes ? { low: notes.low ?? 21, high: notes.high ?? 108 } : null
  }

  get dials(): Dial[] {
    const model = this.model
    const always: Dial[] = [
      { name: "temperature", title: "Temperature", low: 0, high: 2, unit: "", rest: model?.temperature ?? 1, help: HELP.temperature },
      { name: "top_p", title: "Top-p", low: 0.05, high: 1, unit: "", rest: model?.top_p ?? 1, help: HELP.top_p },
    ]
    if (this.other && this.way === "mix")
      always.push({ name: "amount", title: "Amount", low: 0, high: 1, unit: "", rest: 0.5, help: HELP.amount })
    const own = this.controls.filter(({ kind, low, high, name }) =>
      kind !== "notes" && kind !== "category" && low !== null && high !== null && !always.some((dial) => dial.name === name))
    return [
      ...always,
      ...own.map(({ name, low, high, unit, text }) => ({ name, title: name, low: low!, high: high!, unit: unit ?? "", rest: null, help: text })),
    ]
  }

  /** What a control stands at; null where the model decides. */
  value(name: string): Value {
    if (name in this.values) return this.values[name]!
    return this.dials.find((dial) => dial.name === name)?.rest ?? null
  }

  choose(id: string): void {
    this.picked = id
    localStorage.setItem(KEY, id)
    this.values = {}
    if (this.player) void this.start()
  }

  /** Let a second model play too, or none, in one of two ways. */
  pair(id: string, way: Way): void {
    const before = this.other?.id
    this.second = id
    this.way = way
    delete this.values.amount
    if (this.player && (before || this.other)) void this.start()
  }

  async start(): Promise<void> {
    const { choice } = this
    if (!choice || this.opening) return
    this.opening = `opening ${[choice, this.other].map((each) => each?.title).filter(Boolean).join(" and ")}`
    const replaced = this.player !== null
    await this.stop()
    listening.pause()
    try {
      const player = await this.#open(choice.id, replaced)
      this.#listen(player)
      player.volume = this.volume
      this.player = player
      for (const [name, value] of Object.entries(this.values)) player.control(name, value)
    } catch (error) {
      studio.say((error as Error).message, true)
    }
    this.opening = ""
  }

  /** Open a player. The server may still count the one that it replaces. */
  async #open(model: string, replaced: boolean): Promise<Player> {
    for (let tries = replaced ? RETRIES : 0; ; tries--) {
      try {
        const second = this.other ? { model: this.other.id, way: this.way } : null
        const seconds = studio.lists.runs.some(({ state }) => state === "running") ? BESIDE_SECONDS : undefined
        return await Player.open(model, this.seed, { second, seconds, told: (line) => (this.opening = line) })
      } catch (error) {
        if (!tries || !(error as Error).message.startsWith("players:")) throw error
        await new Promise((done) => setTimeout(done, RETRY_MS))
      }
    }
  }

  #listen(player: Player): void {
    const on = (type: string, act: (detail: any) => void) =>
      player.addEventListener(type, (event) => this.player === player && act((event as CustomEvent).detail))
    on("error", ({ message }) => studio.say(message, true))
    on("score", ({ playing, keys, seconds }) => {
      const later = 1000 * player.latency // what is told now is heard then
      if (seconds) this.scored = { began: performance.now() + later, seconds }
      if (!playing) this.scored = null
      setTimeout(() => this.player === player && (this.lit = keys), later)
    })
    on("load", ({ share }) => (this.load = share))
    on("bank", ({ slots }) => (this.banks = slots))
    on("recorded", ({ take }) => {
      this.recording = null
      studio.say(`The take ${take.name} is kept.`)
      void studio.refresh("takes").catch(() => {})
    })
    on("store", () => {
      this.gaps = player.gaps
      this.latency = player.latency
    })
    on("closed", () => {
      studio.say("The sound ended, since the server closed the connection. Press start to play again.", true)
      void this.stop()
    })
  }

  async stop(): Promise<void> {
    const { player } = this
    this.player = null
    this.held = this.lit = []
    this.recording = this.scored = null
    this.banks = BLANK
    this.gaps = this.load = 0
    this.deck = 1
    this.curves = {}
    await player?.close()
  }

  strike(key: number, velocity = 100): void {
    const range = this.keyboard
    if (!this.player || !range || key < range.low || key > range.high) return
    if (!this.held.includes(key)) this.held = [...this.held, key]
    this.player.note_on(key, velocity)
  }

  release(key: number): void {
    if (!this.held.includes(key)) return
    this.held = this.held.filter((other) => other !== key)
    this.player?.note_off(key)
  }

  /** Play the chosen score, on a player that is started for it, or end it. */
  async perform(): Promise<void> {
    if (this.scored) return this.panic()
    if (!this.player) await this.start()
    this.player?.score(this.score)
  }

  hear(deck: 1 | 2): void {
    this.deck = deck
    this.player?.hear(deck)
  }

  panic(): void {
    this.held = this.lit = []
    this.scored = null
    this.player?.panic()
  }

  set(name: string, value: Value): void {
    this.values[name] = value
    delete this.curves[name]
    this.player?.control(name, value)
  }

  /** Turn a dial to a share of its way, 0 to 1, or the volume. */
  turn(name: string, share: number): void {
    const dial = this.dials.find((each) => each.name === name)
    if (dial) this.set(name, dial.low + share * (dial.high - dial.low))
    else if (name === "volume") this.loudness(share)
  }

  loudness(volume: number): void {
    this.volume = volume
    if (this.player) this.player.volume = volume
  }

  record(): void {
    this.recording = this.recording === null ? performance.now() : null
    this.player?.record(this.recording !== null)
  }

  /** Let a dial follow a curve, and its knob show where it is. */
  draw(name: string, points: Points): void {
    this.player?.curve(name, points)
    this.curves[name] = { began: performance.now(), points }
    clearInterval(this.#follow)
    this.#follow = setInterval(() => this.#look(), FOLLOW_MS)
  }

  #look(): void {
    for (const [name, { began, points }] of Object.entries(this.curves)) {
      const now = (performance.now() - began) / 1000
      this.values[name] = along(points, now)
      if (now >= points.at(-1)![0]) delete this.curves[name]
    }
    if (!Object.keys(this.curves).length) clearInterval(this.#follow)
  }
}

/** How many keys a model has. */
function keys({ controls }: Model): number {
  const notes = controls.find(({ kind }) => kind === "notes")
  return notes ? notes.high! - notes.low! : 0
}

/** The value of straight lines between points at a time. */
function along(points: Points, now: number): number {
  const after = points.findIndex(([seconds]) => seconds > now)
  if (after < 0) return points.at(-1)![1]
  if (!after) return points[0]![1]
  const [[t0, a], [t1, b]] = [points[after - 1]!, points[after]!]
  return a + ((b - a) * (now - t0)) / (t1 - t0)
}

export const instrument = new Instrument()
