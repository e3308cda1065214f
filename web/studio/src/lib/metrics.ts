// The course of a training, as a chart and words need it.

import { api } from "./api"
import type { MetricsRecord } from "./types"

const MOST = 4000 // steps that a chart needs

export interface Point {
  minutes: number
  step: number
  bits: number
}

export interface Course {
  next: number
  minutes: number // of the last record
  train: Point[]
  valid: Point[]
  said: { step: number; text: string }[]
  speed: number // samples a second
}

export function start(): Course {
  return { next: 0, minutes: 0, train: [], valid: [], said: [], speed: 0 }
}

/** Fetch what was written since, and return the longer course. */
export async function follow(run: string, course: Course): Promise<Course> {
  for (;;) {
    const { from, next, records } = await api<{ from: number; next: number; records: MetricsRecord[] }>(
      "GET",
      `runs/${run}/metrics?after=${course.next}`,
    )
    if (from !== course.next) course = start() // the file was cut: a run that is resumed goes on from a checkpoint
    for (const record of records) add(course, record)
    if (course.train.length > MOST) course.train = course.train.filter((_, place) => place % 2)
    if (next <= course.next) return { ...course }
    course.next = next
  }
}

function add(course: Course, record: MetricsRecord): void {
  const { step } = record
  if (record.event === "validation") course.valid.push({ minutes: course.minutes, step, bits: record.bits! })
  else if (record.event === "rollback") {
    const kept = (points: Point[]) => points.filter((point) => point.step <= step)
    course.train = kept(course.train)
    course.valid = kept(course.valid)
    course.said.push({ step, text: `Went back to step ${step}, since ${record.reason}. It goes on from there.` })
  } else if (record.event === "processes")
    course.said.push({ step, text: `${record.now} instead of ${record.before} processes train from here on.` })
  else if (!record.event) {
    if (record.time) {
      course.minutes = record.time.seconds / 60
      course.speed = record.time.samples_per_second
    }
    if (record.bits !== undefined) course.train.push({ minutes: course.minutes, step, bits: record.bits })
    if (record.verdict === "skip") course.said.push({ step, text: `Step ${step} was left out: it would have done harm.` })
  }
}
