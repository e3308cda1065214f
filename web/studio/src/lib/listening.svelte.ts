// One sound of a file is heard at a time: that of the page's one audio element.

import { studio } from "./studio.svelte"

class Listening {
  url = $state("")
  playing = $state(false)
  seconds = $state(0)
  length = $state(0)
  #audio = new Audio()
  #then: (() => void) | undefined

  constructor() {
    const audio = this.#audio
    audio.onplay = () => (this.playing = true)
    audio.onpause = () => (this.playing = false)
    audio.ontimeupdate = () => (this.seconds = audio.currentTime)
    audio.ondurationchange = () => (this.length = Number.isFinite(audio.duration) ? audio.duration : 0)
    audio.onerror = () => studio.say("This browser cannot play that file. A model can learn from it all the same.", true)
    audio.onended = () => {
      this.playing = false
      this.#then?.()
    }
  }

  /** Play a file from `share` (0 to 1) of it, and do `then` when it ends. */
  play(url: string, share = 0, then?: () => void): void {
    const audio = this.#audio
    this.#then = then
    const seek = () => (audio.currentTime = share * (audio.duration || 0))
    if (this.url !== url) {
      this.url = url
      this.seconds = this.length = 0
      audio.src = url
      audio.onloadedmetadata = share ? seek : null
    } else if (share || audio.ended) seek()
    audio.play().catch(() => (this.playing = false))
  }

  pause(): void {
    this.#audio.pause()
  }

  toggle(url: string): void {
    if (this.url === url && this.playing) this.pause()
    else this.play(url)
  }

  hears(url: string): boolean {
    return this.url === url && this.playing
  }
}

export const listening = new Listening()
