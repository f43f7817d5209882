// A what-if in words, and the differences that it makes.
import type { Timeline, WhatIf } from './api'
import { number, span } from './format'
import { named, t } from './texts.svelte'
import { world } from './world.svelte'

export interface Difference {
  key: 'cost' | 'energy' | 'carbon' | 'wait' | 'late' | 'succeeded'
  as_is: number
  changed: number
  /** Whether more of it is welcome. */
  welcome: boolean
  write: (value: number) => string
}

/** What was changed, in words: `carbon 300 yuan/t, Datong down from 2 to 8 h`. */
export function changes(change: WhatIf): string {
  const found: string[] = []
  if (change.carbon_price != null) found.push(t('console.what_if_said_carbon', { yuan: number(change.carbon_price) }))
  if ((change.solar ?? 1) !== 1) found.push(t('console.what_if_said_solar', { times: number(change.solar!, 2) }))
  if ((change.tariff ?? 1) !== 1) found.push(t('console.what_if_said_tariff', { times: number(change.tariff!, 2) }))
  for (const down of change.down) {
    const site = world.site(down.site)
    found.push(t('console.what_if_said_down', { site: site ? named(site) : down.site, from: down.from_h, until: down.until_h }))
  }
  return found.join(t('console.comma')) || t('console.what_if_said_nothing')
}

export function differences(as_is: Timeline, changed: Timeline): Difference[] {
  const [a, b] = [as_is.sums, changed.sums]
  return [
    { key: 'cost', as_is: a.fen / 100, changed: b.fen / 100, welcome: false, write: (v) => `${number(v, 2)} ${t('console.unit_yuan')}` },
    { key: 'energy', as_is: a.facility_mwh / 1e6, changed: b.facility_mwh / 1e6, welcome: false, write: (v) => `${number(v, 2)} kWh` },
    { key: 'carbon', as_is: a.carbon_mg / 1e6, changed: b.carbon_mg / 1e6, welcome: false, write: (v) => `${number(v, 2)} kg` },
    { key: 'wait', as_is: a.mean_wait_s, changed: b.mean_wait_s, welcome: false, write: (v) => span(v) },
    { key: 'late', as_is: a.late, changed: b.late, welcome: false, write: (v) => number(v) },
    { key: 'succeeded', as_is: a.succeeded, changed: b.succeeded, welcome: true, write: (v) => number(v) },
  ]
}

export interface Moved {
  job: string
  name: string
  from: string
  to: string
  /** Seconds by which it starts later than it would have; 0 where it starts in one world alone. */
  later_s: number
}

/** Jobs that run elsewhere or start at another time, those that moved furthest first. */
export function moved(as_is: Timeline, changed: Timeline): Moved[] {
  const was = new Map(as_is.jobs.map((j) => [j.job, j]))
  const found: Moved[] = []
  for (const job of changed.jobs) {
    const before = was.get(job.job)
    if (!before || (before.site === job.site && Math.abs(before.start_s - job.start_s) < 60)) continue
    found.push({ job: job.job, name: job.name, from: before.site, to: job.site, later_s: before.start_s && job.start_s ? job.start_s - before.start_s : 0 })
  }
  return found.sort((a, b) => Number(b.from !== b.to) - Number(a.from !== a.to) || Math.abs(b.later_s) - Math.abs(a.later_s))
}
