// Bits over minutes, of one training or two.

import type { Drawing } from "./canvas.svelte"
import type { Course, Point } from "./metrics"

export interface Line {
  name: string
  course: Course
  entropy: number | null
  colour: string // a custom property
}

const [LEFT, RIGHT, TOP, BOTTOM] = [40, 24, 14, 26]

interface Scale {
  x: (minutes: number) => number
  y: (bits: number) => number
  longest: number
  low: number
  high: number
}

function scaled(lines: Line[], width: number, height: number): Scale {
  const valid = lines.flatMap(({ course }) => course.valid.map(({ bits }) => bits))
  const entropies = lines.flatMap(({ entropy }) => (entropy === null ? [] : [entropy]))
  const known = [...valid, ...entropies]
  const low = known.length ? Math.floor(2 * Math.min(...known) - 0.2) / 2 : 0
  const high = known.length ? Math.ceil(2 * Math.max(...(entropies.length ? entropies : valid)) + 0.2) / 2 : 8
  const longest = Math.max(0.2, ...lines.map(({ course }) => course.minutes))
  return {
    x: (minutes) => LEFT + ((width - LEFT - RIGHT) * minutes) / longest,
    y: (bits) => TOP + ((height - TOP - BOTTOM) * (high - Math.min(Math.max(bits, low), high))) / (high - low),
    longest,
    low,
    high,
  }
}

/** The round numbers from `low` to `high`, at most about `most` of them. */
function ticks(low: number, high: number, most: number): number[] {
  const rough = (high - low) / most
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10)
  const first = Math.ceil(low / step - 1e-9)
  const count = Math.floor(high / step + 1e-9) - first + 1
  return Array.from({ length: count }, (_, i) => Number(((first + i) * step).toFixed(6)))
}

export function draw(drawing: Drawing, lines: Line[], pointed: number | null): void {
  const { context, width, height, colour } = drawing
  const { x, y, longest, low, high } = scaled(lines, width, height)
  context.font = "11px ui-monospace, monospace"
  context.lineWidth = 1
  context.textBaseline = "middle"
  context.textAlign = "right"
  for (const bits of ticks(low, high, 5)) {
    context.strokeStyle = colour("line")
    context.beginPath()
    context.moveTo(LEFT, y(bits))
    context.lineTo(width - RIGHT, y(bits))
    context.stroke()
    context.fillStyle = colour("quiet")
    context.fillText(String(bits), LEFT - 6, y(bits))
  }
  context.textBaseline = "alphabetic"
  context.textAlign = "center"
  for (const minutes of ticks(0, longest, Math.max(2, Math.floor(width / 110))))
    context.fillText(minutes ? `${minutes} min` : "0", x(minutes), height - 7)
  for (const line of lines) drawLine(drawing, line, x, y)
  if (pointed === null) return
  const minutes = ((pointed - LEFT) / (width - LEFT - RIGHT)) * longest
  for (const { course, colour: name } of lines) {
    const point = nearest(course.valid, minutes)
    if (!point) continue
    context.fillStyle = colour(name)
    context.beginPath()
    context.arc(x(point.minutes), y(point.bits), 5, 0, 7)
    context.fill()
  }
}

function drawLine({ context, colour, width }: Drawing, line: Line, x: Scale["x"], y: Scale["y"]): void {
  const path = (points: Point[]) => {
    context.beginPath()
    for (const { minutes, bits } of points) context.lineTo(x(minutes), y(bits))
    context.stroke()
  }
  context.strokeStyle = colour(line.colour)
  context.lineJoin = "round"
  context.globalAlpha = 0.28
  context.lineWidth = 1
  path(smoothed(line.course.train))
  context.globalAlpha = 1
  if (line.entropy !== null) {
    context.setLineDash([5, 5])
    context.beginPath()
    context.moveTo(LEFT, y(line.entropy))
    context.lineTo(width - RIGHT, y(line.entropy))
    context.stroke()
    context.setLineDash([])
  }
  context.lineWidth = 2.25
  path(line.course.valid)
  context.fillStyle = colour(line.colour)
  for (const { minutes, bits } of line.course.valid.length > 40 ? line.course.valid.slice(-1) : line.course.valid) {
    context.beginPath()
    context.arc(x(minutes), y(bits), 3, 0, 7)
    context.fill()
  }
}

/** The course of single steps is restless: a tenth of the new one at a time. */
function smoothed(points: Point[]): Point[] {
  let mean = points[0]?.bits ?? 0
  return points.map((point) => ({ ...point, bits: (mean += (point.bits - mean) / 10) }))
}

function nearest(points: Point[], minutes: number): Point | undefined {
  return points.reduce<Point | undefined>(
    (best, point) =>
      best && Math.abs(best.minutes - minutes) <= Math.abs(point.minutes - minutes) ? best : point,
    undefined,
  )
}

/** What is under the pointer, in words. */
export function told(lines: Line[], pointed: number, width: number): string {
  const minutes = ((pointed - LEFT) / (width - LEFT - RIGHT)) * scaled(lines, width, 100).longest
  return lines
    .flatMap(({ name, course }) => {
      const point = nearest(course.valid, minutes)
      return point ? [`${lines.length > 1 ? `${name}: ` : ""}${point.bits.toFixed(3)} bits at step ${point.step}`] : []
    })
    .join(", ")
}

/** The chart for who does not see it. */
export function described(lines: Line[]): string {
  const course = ({ name, course: { valid }, entropy }: Line) => {
    const [first, last] = [valid[0], valid.at(-1)]
    if (!first || !last) return `${name} has no validation yet.`
    const from = `${name}: validation went from ${first.bits.toFixed(2)} to ${last.bits.toFixed(2)} bits.`
    return entropy === null ? from : `${from} Zero-order entropy is ${entropy.toFixed(2)} bits.`
  }
  return lines.map(course).join(" ")
}
