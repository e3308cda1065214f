// Canvases that follow their size, the screen's density and the page's theme.

import type { Attachment } from "svelte/attachments"

import { theme } from "./theme.svelte"

export interface Drawing {
  context: CanvasRenderingContext2D
  width: number // CSS pixels
  height: number
  colour: (name: string) => string // of a custom property, such as "accent"
}

/** Attach to a canvas: `draw` runs again whenever what it reads, the size or the theme changes. */
export function drawn(draw: (drawing: Drawing) => void): Attachment<HTMLCanvasElement> {
  return (canvas) => {
    let size = $state({ width: 0, height: 0 })
    const observer = new ResizeObserver(() => (size = { width: canvas.clientWidth, height: canvas.clientHeight }))
    observer.observe(canvas)
    $effect(() => {
      void theme.dark
      if (size.width && size.height) draw(prepare(canvas))
    })
    return () => observer.disconnect()
  }
}

/** Return an empty canvas to draw on, in CSS pixels. */
export function prepare(canvas: HTMLCanvasElement): Drawing {
  const scale = window.devicePixelRatio || 1
  const [width, height] = [canvas.clientWidth, canvas.clientHeight]
  const [wide, high] = [Math.round(width * scale), Math.round(height * scale)]
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high]
  const context = canvas.getContext("2d")!
  context.setTransform(scale, 0, 0, scale, 0, 0)
  context.clearRect(0, 0, width, height)
  const style = getComputedStyle(canvas)
  return { context, width, height, colour: (name) => style.getPropertyValue(`--${name}`) }
}

/** Draw a waveform as bars. The share `played` of it has the accent's colour. */
export function wave({ context, width, height, colour }: Drawing, peaks: [number, number][], played: number): void {
  const bars = Math.min(peaks.length, Math.floor(width / 3))
  const middle = height / 2
  for (let bar = 0; bar < bars; bar++) {
    const part = peaks.slice(Math.floor((bar * peaks.length) / bars), Math.ceil(((bar + 1) * peaks.length) / bars))
    const low = Math.min(...part.map((pair) => pair[0]))
    const high = Math.max(...part.map((pair) => pair[1]))
    const top = middle - Math.max(high, 0) * (middle - 1)
    const bottom = middle - Math.min(low, 0) * (middle - 1)
    context.fillStyle = colour(bar / bars < played ? "accent" : "wave")
    context.fillRect((bar * width) / bars, top, 2, Math.max(1.5, bottom - top))
  }
}
