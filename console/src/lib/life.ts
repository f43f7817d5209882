// A job's life as spans and marks on an axis of time, from what the nodes wrote about it.
import type { Happening, Job } from './api'

export type SpanKind = 'waits' | 'moves' | 'planned' | 'runs' | 'paused'

export interface Span {
  kind: SpanKind
  from_s: number
  to_s: number
  /** It goes on. */
  open: boolean
  /** Where it runs, or what is moved. */
  what: string
}

export interface Mark {
  kind: 'submitted' | 'placed' | 'started' | 'ended' | 'deadline' | 'now'
  at_s: number
}

export interface Life {
  begin_s: number
  end_s: number
  spans: Span[]
  marks: Mark[]
  /** When its first run began; 0 where none has. */
  began_s: number
  /** How long it ran in all. */
  ran_s: number
}

type Body = Record<string, unknown>
type Window = [number, number]

const GONE_ON = new Set(['job.received', 'job.reported', 'job.fed', 'job.reported_late'])

/** `events` in order of time. */
export function lifeOf(job: Job, events: Happening[], now_s: number): Life {
  const begin_s = job.submitted_s ?? 0
  const over = (job.end_s ?? 0) > 0
  const until_s = over ? job.end_s! : Math.max(now_s, begin_s + 1)
  const [spans, marks]: [Span[], Mark[]] = [[], [{ kind: 'submitted', at_s: begin_s }]]
  let [running, paused]: [Span | null, Span | null] = [null, null]
  const moving = new Map<string, Span>()

  for (const event of events) {
    const body = event.body as Body
    if (GONE_ON.has(event.kind)) continue
    if (event.kind === 'transfer.started') {
      const span: Span = { kind: 'moves', from_s: event.at_s, to_s: Math.max(Number(body.done_at_s ?? 0), event.at_s), open: true, what: String(body.dataset) }
      moving.set(span.what, span)
      spans.push(span)
    } else if (event.kind === 'transfer.ended') {
      const span = moving.get(String(body.dataset))
      if (span) Object.assign(span, { to_s: Math.max(event.at_s, span.from_s), open: false })
    } else if (event.kind === 'job.placed' || event.kind === 'job.assigned') {
      if (!marks.some((m) => m.kind === 'placed')) marks.push({ kind: 'placed', at_s: event.at_s })
    } else if (event.kind === 'job.started' || event.kind === 'job.opened') {
      if (paused) Object.assign(paused, { to_s: event.at_s, open: false })
      paused = null
      running = { kind: 'runs', from_s: event.at_s, to_s: until_s, open: true, what: event.node }
      spans.push(running)
    } else if (event.kind === 'job.paused' || event.kind === 'job.ended') {
      const [start, end] = [Number(body.start_s ?? 0), Number(body.end_s ?? 0)]
      if (running) Object.assign(running, { from_s: start || running.from_s, to_s: end || event.at_s, open: false })
      running = null
      if (event.kind === 'job.paused') {
        paused = { kind: 'paused', from_s: end || event.at_s, to_s: until_s, open: true, what: '' }
        spans.push(paused)
      }
    }
  }
  for (const span of moving.values()) if (span.open && over) Object.assign(span, { to_s: until_s, open: false })
  if (paused && over) paused.open = false

  const runs = spans.filter((s) => s.kind === 'runs')
  const first = runs[0]?.from_s ?? until_s
  spans.unshift({ kind: 'waits', from_s: begin_s, to_s: first, open: !runs.length && !over, what: '' })
  if (runs[0]) marks.push({ kind: 'started', at_s: runs[0].from_s })
  if (over) marks.push({ kind: 'ended', at_s: job.end_s! })
  else marks.push({ kind: 'now', at_s: now_s })

  const plan = windows(job, events)
  for (const [from_s, to_s] of plan) spans.push({ kind: 'planned', from_s, to_s, open: false, what: job.placement?.site ?? '' })
  if (job.spec.deadline_s) marks.push({ kind: 'deadline', at_s: job.spec.deadline_s })

  const ends = [until_s, ...spans.map((s) => s.to_s)]
  const due = job.spec.deadline_s ?? 0
  const reach = Math.max(...ends)
  // a deadline far away would press the rest together
  const end_s = due && due - begin_s < 3 * (reach - begin_s) ? Math.max(reach, due) : reach
  return {
    begin_s,
    end_s: Math.max(end_s, begin_s + 60),
    spans,
    marks: marks.filter((m) => m.at_s >= begin_s && m.at_s <= end_s),
    began_s: runs[0]?.from_s ?? 0,
    ran_s: runs.reduce((sum, s) => sum + s.to_s - s.from_s, 0),
  }
}

/** When it was last planned to run, by the node that was to run it where that has said so. */
function windows(job: Job, events: Happening[]): Window[] {
  const placed = events.filter((e) => e.kind === 'job.placed').at(-1)?.body.placement as Job['placement']
  const placement = placed ?? job.placement
  if (!placement) return []
  const pieces = placement.pieces as Window[] | undefined
  return pieces?.length ? pieces : [[placement.start_s, placement.finish_s]]
}

/** Round moments on an axis, six or so. */
export function ticks(begin_s: number, end_s: number, offset_s: number): number[] {
  const steps = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800]
  const step = steps.find((s) => (end_s - begin_s) / s <= 7) ?? 172800
  const found: number[] = []
  for (let at = Math.ceil((begin_s + offset_s) / step) * step - offset_s; at <= end_s; at += step) found.push(at)
  return found
}
