// The plan's windows as rows of bars, and its series as steps.
import type { Plan, Timeline } from './api'

export type SitePlan = Plan['sites'][number]

/** A window of a job at a site, planned or lived. `micro` is what the job costs in all, -1 where it is not known. */
export interface Work {
  job: string
  name: string
  tenant: string
  kind: string
  state: Plan['windows'][number]['state']
  site: string
  pool: string
  start_s: number
  finish_s: number
  cores: number
  accelerators: number
  micro: number
}

export type Bar = Work & { row: number }

export type Under = 'price' | 'carbon' | 'pue'

export const UNDER: Record<Under, { of: (site: SitePlan) => number[]; digits: number; unit: string; floor: number }> = {
  price: { of: (site) => site.energy_yuan_kwh, digits: 3, unit: 'yuan/kWh', floor: 0 },
  carbon: { of: (site) => site.carbon_kg_kwh, digits: 3, unit: 'kg/kWh', floor: 0 },
  pue: { of: (site) => site.pue, digits: 2, unit: '', floor: 1 },
}

export function planned(plan: Plan): Work[] {
  return plan.windows.map((w) => ({ ...w, micro: w.total_micro }))
}

/** A timeline's jobs as windows: what has not ended goes on to its end. */
export function lived(timeline: Timeline): Work[] {
  return timeline.jobs.filter((j) => j.start_s && j.start_s < timeline.end_s && j.site).map((j) => ({
    job: j.job, name: j.name, tenant: j.tenant, kind: j.kind, state: j.state, site: j.site, pool: j.pool,
    start_s: j.start_s, finish_s: j.end_s || timeline.end_s, cores: j.cores, accelerators: 0, micro: j.fen ? j.fen * 10_000 : -1,
  }))
}

/** Bars in rows that none of them shares at one time, the first row that is free; what needs a row past `most` is over. */
export function pack(works: Work[], least_s: number, most: number): { bars: Bar[]; rows: number; over: number } {
  const ends: number[] = []
  const bars: Bar[] = []
  let over = 0
  for (const work of [...works].sort((a, b) => a.start_s - b.start_s || a.finish_s - b.finish_s)) {
    let row = ends.findIndex((end) => end <= work.start_s)
    if (row < 0) row = ends.length
    if (row >= most) {
      over++
      continue
    }
    ends[row] = Math.max(work.finish_s, work.start_s + least_s)
    bars.push({ ...work, row })
  }
  return { bars, rows: ends.length, over }
}

export interface Step {
  from_s: number
  to_s: number
  value: number
}

/** A series as steps: neighbouring slots whose values are within `near` of the first are one. */
export function steps(values: number[], first_s: number, slot_s: number, near = 1e-9): Step[] {
  const found: Step[] = []
  values.forEach((value, slot) => {
    const last = found.at(-1)
    const to_s = first_s + (slot + 1) * slot_s
    if (last && Math.abs(last.value - value) <= near) last.to_s = to_s
    else found.push({ from_s: to_s - slot_s, to_s, value })
  })
  return found
}

/** The slot of a time, clamped into the plan. */
export function slotAt(plan: Plan, s: number): number {
  return Math.min(Math.max(Math.floor((s - plan.first_s) / plan.slot_s), 0), plan.slots - 1)
}

/** How a bar is drawn: work that ended, runs, is to come, or went wrong; `then_s` is when one looks (0: now). */
export function look(work: Work, then_s = 0): 'done' | 'running' | 'planned' | 'failed' {
  if (then_s && then_s < work.start_s) return 'planned'
  if (then_s && then_s < work.finish_s) return 'running'
  const state = work.state
  if (state === 'succeeded') return 'done'
  if (state === 'running' || state === 'staging' || state === 'paused') return 'running'
  if (state === 'failed' || state === 'interrupted' || state === 'cancelled' || state === 'refused') return 'failed'
  return 'planned'
}
