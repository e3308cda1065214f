// MIDI keyboards and their knobs. Which controller turns what is learned from a move of it, and kept for each control.

import { instrument } from "./instrument.svelte"

const KEY = "wavewright-controllers"
const PEDAL = 64
const SILENCERS = [120, 123]

class Midi {
  state = $state<"off" | "asking" | "on" | "refused" | "missing">("requestMIDIAccess" in navigator ? "off" : "missing")
  ports = $state<string[]>([])
  learning = $state<string | null>(null) // the control that waits for a controller
  controllers = $state<Record<string, number>>(JSON.parse(localStorage.getItem(KEY) ?? "{}"))

  /** Ask for the keyboards, which browsers allow on a click only. */
  async connect(): Promise<void> {
    this.state = "asking"
    try {
      const access = await navigator.requestMIDIAccess({ sysex: false })
      const listen = () => {
        this.ports = [...access.inputs.values()].map((input) => input.name ?? "unnamed")
        for (const input of access.inputs.values()) input.onmidimessage = ({ data }) => data && this.#receive(data)
      }
      access.onstatechange = listen
      listen()
      this.state = "on"
    } catch {
      this.state = "refused"
    }
  }

  learn(name: string): void {
    this.learning = this.learning === name ? null : name
  }

  forget(name: string): void {
    delete this.controllers[name]
    this.#keep()
  }

  #keep(): void {
    localStorage.setItem(KEY, JSON.stringify(this.controllers))
  }

  #receive([status = 0, first = 0, second = 0]: Uint8Array): void {
    const kind = status & 0xf0
    if (kind === 0x90 && second) instrument.strike(first, second)
    else if (kind === 0x80 || kind === 0x90) instrument.release(first)
    else if (kind === 0xb0 && first === PEDAL) instrument.player?.pedal(second)
    else if (kind === 0xb0 && SILENCERS.includes(first)) instrument.panic()
    else if (kind === 0xb0) this.#turn(first, second / 127)
  }

  #turn(controller: number, share: number): void {
    if (this.learning) {
      this.controllers[this.learning] = controller
      this.learning = null
      this.#keep()
    }
    for (const [name, number] of Object.entries(this.controllers)) if (number === controller) instrument.turn(name, share)
  }
}

export const midi = new Midi()
