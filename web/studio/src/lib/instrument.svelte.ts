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

const KEY = "wavewright-model"
const FOLLOW_MS = 50 // between two looks of a knob at its curve
const RETRIES = 10
const RETRY_MS = 200
const BLANK = [false, false, false]

class Instrument {
  player = $state.raw<Player | null>(null)
  opening = $state(false)
  picked = $state(localStorage.getItem(KEY) ?? "")
  seed = $state(1)
  volume = $state(0.8)
  held = $state<number[]>([])
  values = $state<Record<string, Value>>({})
  banks = $state<boolean[]>(BLANK)
  recording = $state<number | null>(null) // when it began, in milliseconds
  gaps = $state(0)
  latency = $state(0)
  curves = $state<Record<string, { began: number; points: Points }>>({})
  #follow: ReturnType<typeof setInterval> | undefined

  get model(): Model | undefined {
    const { models } = studio.lists
    const first = models.filter(({ playable }) => playable).sort((a, b) => keys(b) - keys(a))[0]
    return models.find(({ id }) => id === this.picked) ?? first
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
    const own = this.controls.filter(({ kind, low, high, name }) =>
      kind !== "notes" && kind !== "category" && low !== null && high !== null && name !== "temperature" && name !== "top_p")
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

  async start(): Promise<void> {
    const { model } = this
    if (!model || this.opening) return
    this.opening = true
    const replaced = this.player !== null
    await this.stop()
    listening.pause()
    try {
      const player = await this.#open(model.id, replaced)
      this.#listen(player)
      player.volume = this.volume
      this.player = player
      for (const [name, value] of Object.entries(this.values)) player.control(name, value)
    } catch (error) {
      studio.say((error as Error).message, true)
    }
    this.opening = false
  }

  /** Open a player. The server may still count the one that it replaces. */
  async #open(model: string, replaced: boolean): Promise<Player> {
    for (let tries = replaced ? RETRIES : 0; ; tries--) {
      try {
        return await Player.open(model, this.seed)
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
    this.held = []
    this.recording = null
    this.banks = BLANK
    this.gaps = 0
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

  panic(): void {
    this.held = []
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
