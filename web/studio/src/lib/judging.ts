// The words of listening tests: the methods, and what their figures mean.

import type { Method, Score } from "./types"

export const METHODS: Record<Method, { title: string; standard: string; text: string; question: string }> = {
  ab: {
    title: "Which is better",
    standard: "A/B",
    text: "Two sounds, and one choice. The easiest for listeners, and it finds small differences.",
    question: "Which sounds better?",
  },
  abx: {
    title: "Which is the same",
    standard: "ABX",
    text: "X is A or B. Whoever tells which hears a difference between two models.",
    question: "Which of the two is X?",
  },
  mos: {
    title: "How good",
    standard: "MOS, five points",
    text: "One sound at a time, from bad to excellent. Says how good models are by themselves.",
    question: "How good does it sound?",
  },
  multi: {
    title: "All at once",
    standard: "0 to 100",
    text: "All models beside each other, each with a number. The finest scale, for patient listeners.",
    question: "How good does each one sound?",
  },
}

/** Five points of ITU-T P.800, and the five parts of the scale from 0 to 100. */
export const GRADES = ["Bad", "Poor", "Fair", "Good", "Excellent"] as const

/** Stimuli are letters, since a name would tell too much. */
export function letter(place: number): string {
  return String.fromCharCode(65 + place)
}

/** The name of a method, as a standard calls it. */
export function standard(method: Method, reference: string | null): string {
  if (method !== "multi") return METHODS[method].standard
  return reference === null ? "ITU-R BS.2132" : "MUSHRA"
}

/** A probability as people read it. */
export function pValue(p: number): string {
  return p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`
}

/** How often chance does the same, in words. */
export function byChance(p: number): string {
  if (p < 0.001) return "Guesses alone do so in less than one of 1,000 tests."
  if (p < 0.01) return `Guesses alone do so in ${Math.round(1000 * p)} of 1,000 tests.`
  return `Guesses alone do so in ${Math.round(100 * p)} of 100 tests.`
}

/** The ends of a method's scale, the marks on it with their words, and the digits of a score. */
export function scale(method: Method, scores: Score[]): { low: number; high: number; marks: [number, string][]; digits: number } {
  if (method === "mos") return { low: 1, high: 5, marks: GRADES.map((grade, place) => [place + 1, grade]), digits: 2 }
  if (method === "multi") return { low: 0, high: 100, marks: [0, 20, 40, 60, 80, 100].map((mark) => [mark, String(mark)]), digits: 0 }
  const end = Math.max(1, Math.ceil(Math.max(...scores.flatMap(({ low, high }) => [-low, high]))))
  return { low: -end, high: end, marks: [[-end, `−${end}`], [0, "mean"], [end, `+${end}`]], digits: 2 }
}
