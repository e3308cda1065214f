// The stimuli of a trial. One is heard at a time, in a loop, and another one goes on at the same place.

const EDGE = 0.005 // seconds: fades at the ends of a loop, and of a stop
const CROSS = 0.02 // seconds: from one stimulus to another
const SOON = 0.05 // seconds ahead, so that a fade never begins in the past, on a busy computer neither
const STEPS = 33
const KEY = "wavewright-judge-volume"

// Sine and cosine keep the power of two sounds that fade into each other.
const RISE = Float32Array.from({ length: STEPS }, (_, step) => Math.sin((Math.PI / 2) * (step / (STEPS - 1))))
const FALL = RISE.toReversed()

interface Voice {
  source: AudioBufferSourceNode
  out: GainNode
  began: number // time of the context at which the loop was at 0
}

export class Deck {
  heard = $state<number | null>(null) // which one sounds
  share = $state(0) // how far its loop is, 0 to 1
  ready = $state(false)
  #volume = $state(Number(localStorage.getItem(KEY) ?? 0.8))
  #context: AudioContext | undefined
  #master: GainNode | undefined
  #voice: Voice | undefined
  #buffers: AudioBuffer[] = []
  #known = new Map<string, Promise<AudioBuffer>>()
  #frame = 0

  /** @param ask asks the server for a file */
  constructor(private readonly ask: (url: string) => Promise<Response>) {}

  get volume(): number {
    return this.#volume
  }

  set volume(value: number) {
    this.#volume = value
    localStorage.setItem(KEY, String(value))
    this.#master?.gain.setTargetAtTime(value ** 2, this.#open().currentTime, EDGE)
  }

  /** Put these sounds on the deck. Those of the next trial are fetched meanwhile. */
  async load(urls: string[], next: string[] = []): Promise<void> {
    this.stop()
    this.ready = false
    for (const url of this.#known.keys()) if (!urls.includes(url) && !next.includes(url)) this.#known.delete(url)
    this.#buffers = await Promise.all(urls.map((url) => this.#buffer(url)))
    this.ready = true
    for (const url of next) this.#buffer(url).catch(() => {}) // its own trial tells
  }

  /** Play the sound at this place of the deck: where the one before has come to, or from the beginning. */
  play(place: number): void {
    const buffer = this.#buffers[place]
    if (!this.ready || !buffer || this.heard === place) return
    const context = this.#open()
    void context.resume()
    const when = context.currentTime + SOON
    const before = this.#voice
    const at = before ? (when - before.began) % before.source.buffer!.duration : 0
    const offset = at < buffer.duration ? Math.round(at * buffer.sampleRate) / buffer.sampleRate : 0
    const length = before ? CROSS : EDGE
    if (before) this.#end(before, when, length)
    const [source, into, out] = [context.createBufferSource(), context.createGain(), context.createGain()]
    source.buffer = buffer
    source.loop = true
    source.connect(into).connect(out).connect(this.#master!)
    into.gain.setValueAtTime(0, 0)
    into.gain.setValueCurveAtTime(RISE, when, length)
    source.start(when, offset)
    this.#voice = { source, out, began: when - offset }
    this.heard = place
    cancelAnimationFrame(this.#frame)
    this.#watch()
  }

  stop(): void {
    if (this.#voice) this.#end(this.#voice, this.#open().currentTime + SOON, EDGE)
    this.#voice = undefined
    this.heard = null
    this.share = 0
    cancelAnimationFrame(this.#frame)
  }

  toggle(place: number): void {
    if (this.heard === place) this.stop()
    else this.play(place)
  }

  close(): void {
    this.stop()
    void this.#context?.close()
  }

  #open(): AudioContext {
    if (!this.#context) {
      this.#context = new AudioContext()
      this.#master = this.#context.createGain()
      this.#master.gain.value = this.#volume ** 2
      this.#master.connect(this.#context.destination)
    }
    return this.#context
  }

  #end({ source, out }: Voice, when: number, length: number): void {
    out.gain.setValueCurveAtTime(FALL, when, length)
    source.stop(when + length)
  }

  #buffer(url: string): Promise<AudioBuffer> {
    const known = this.#known.get(url)
    if (known) return known
    const asked = this.#fetch(url)
    this.#known.set(url, asked)
    asked.catch(() => this.#known.delete(url))
    return asked
  }

  async #fetch(url: string): Promise<AudioBuffer> {
    const answer = await this.ask(url)
    if (!answer.ok) throw new Error("A sound of this test did not come. Its files may have been removed.")
    const buffer = await this.#open().decodeAudioData(await answer.arrayBuffer())
    for (let channel = 0; channel < buffer.numberOfChannels; channel++) softened(buffer.getChannelData(channel), buffer.sampleRate)
    return buffer
  }

  #watch(): void {
    const { source, began } = this.#voice!
    const { duration } = source.buffer!
    this.share = Math.max(0, ((this.#open().currentTime - began) % duration) / duration)
    this.#frame = requestAnimationFrame(() => this.#watch())
  }
}

/** Fade the ends in place, so that a loop does not click. */
function softened(samples: Float32Array, rate: number): void {
  const length = Math.min(Math.round(EDGE * rate), samples.length >> 1)
  for (let step = 0; step < length; step++) {
    samples[step]! *= step / length
    samples[samples.length - 1 - step]! *= step / length
  }
}
