// What the page knows of the folder, kept true by the server's events.

import { api } from "./api"
import type { Corpus, MidiScore, Model, Recording, Run, Session, Take, Test } from "./types"

const RETRY_MS = 1000
const ROWS_MS = 2000

interface Lists {
  recordings: Recording[]
  corpora: Corpus[]
  runs: Run[]
  models: Model[]
  scores: MidiScore[]
  takes: Take[]
  tests: Test[]
}
type What = keyof Lists

const WHATS: What[] = ["recordings", "corpora", "runs", "models", "scores", "takes", "tests"]

class Studio {
  session = $state<Session | null>(null)
  lists = $state<Lists>({ recordings: [], corpora: [], runs: [], models: [], scores: [], takes: [], tests: [] })
  loaded = $state(false)
  trouble = $state("") // why the server's events do not come
  error = $state("") // why the page could not start
  notices = $state<{ id: number; text: string; bad: boolean }[]>([])
  /** Counts the events of a run's metrics, so that who shows them fetches the new ones. */
  news = $state<Record<string, number>>({})

  #asked = new Map<What, boolean>() // true: asked for again meanwhile
  #notice = 0
  #rows = 0 // when the rows of runs were asked for

  async start(): Promise<void> {
    try {
      this.session = await api<Session>("GET", "session")
      await Promise.all(WHATS.map((what) => this.refresh(what)))
      this.loaded = true
      this.error = ""
      this.#connect()
    } catch (error) {
      this.error = (error as Error).message
      setTimeout(() => this.start(), 3 * RETRY_MS)
    }
  }

  async refresh(what: What): Promise<void> {
    if (this.#asked.has(what)) {
      this.#asked.set(what, true)
      return
    }
    this.#asked.set(what, false)
    try {
      this.lists[what] = (await api<Lists[typeof what]>("GET", what)) as never
    } finally {
      const again = this.#asked.get(what)
      this.#asked.delete(what)
      if (again) await this.refresh(what)
    }
  }

  /** Do what a person asked for, and tell what the server refuses. Returns whether it was done. */
  async attempt(what: () => Promise<unknown>, done = ""): Promise<boolean> {
    try {
      await what()
      if (done) this.say(done)
      return true
    } catch (error) {
      this.say((error as Error).message, true)
      return false
    }
  }

  /** Remove something for good, if the person means it. */
  remove(path: string, name: string): void {
    if (confirm(`Delete ${name} for good?`)) void this.attempt(() => api("DELETE", path))
  }

  say(text: string, bad = false): void {
    const id = ++this.#notice
    this.notices = [...this.notices.filter((notice) => notice.text !== text), { id, text, bad }].slice(-3)
    setTimeout(() => this.unsay(id), bad ? 12000 : 5000)
  }

  unsay(id: number): void {
    this.notices = this.notices.filter((notice) => notice.id !== id)
  }

  #connect(): void {
    const url = new URL("/ws/events", location.href)
    url.protocol = url.protocol.replace("http", "ws")
    const socket = new WebSocket(url)
    socket.onopen = () => {
      if (this.trouble) for (const what of WHATS) void this.refresh(what).catch(() => {})
      this.trouble = ""
    }
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data)
      if (event.type === "changed" && WHATS.includes(event.what)) void this.refresh(event.what).catch(() => {})
      if (event.type === "metrics") this.#train(event.run)
    }
    socket.onclose = () => setTimeout(() => this.#retry(), RETRY_MS)
  }

  /** A run has got on: its row, with the time to go, is asked for again now and then. */
  #train(run: string): void {
    this.news[run] = (this.news[run] ?? 0) + 1
    if (performance.now() - this.#rows < ROWS_MS) return
    this.#rows = performance.now()
    void this.refresh("runs").catch(() => {})
  }

  async #retry(): Promise<void> {
    try {
      await api<Session>("GET", "session")
      this.#connect()
    } catch (error) {
      this.trouble = (error as Error).message
      setTimeout(() => this.#retry(), RETRY_MS)
    }
  }
}

export const studio = new Studio()
