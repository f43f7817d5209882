// A list of very many jobs, of which only pages that somebody looks at are here.
import { get, type Job, type JobPage } from './api'
import { replay, type TimelineJob } from './replay.svelte'
import { payable } from './terms'

const PAGE = 200
const KEPT = 12
const [REST_MS, AGAIN_MS] = [60, 3000]

export type Order = 'submitted' | 'started' | 'wait' | 'cost' | 'name'

export interface Asked {
  search: string
  state: string
  site: string
  order: Order
  descending: boolean
}

/** What a row shows of a job, of the present or of a timeline. */
export interface Row {
  id: string
  name: string
  tenant: string
  state: string
  reason: string
  site: string
  submitted_s: number
  start_s: number
  /** When it is to start, where it has not. */
  planned_s: number
  end_s: number
  /** Billed; 0 until it is settled. */
  fen: number
  /** What is expected to be billed, micro-yuan. */
  expected_micro: number
}

const NOT_BEGUN = ['held', 'queued', 'raised', 'assigned', 'returned', 'placed', 'staging']

/** When it began, seconds UTC; 0 where it has not. Before that its record may have when it is to begin. */
export function begunAt(job: Job): number {
  const [start_s, end_s] = [job.start_s ?? 0, job.end_s ?? 0]
  return NOT_BEGUN.includes(job.state) || (end_s && end_s < start_s) ? 0 : start_s
}

/** When it is to begin, or to go on, seconds UTC; 0 where that is not known. */
export function plannedAt(job: Job): number {
  return job.placement?.pieces?.[job.window ?? 0]?.[0] || job.start_s || job.placement?.start_s || 0
}

/** What is expected to be billed for it, micro-yuan; 0 where that is not known. */
export function expectedOf(job: Job): number {
  return job.placement ? payable(job.placement.terms) : (job.total_micro ?? 0)
}

export class JobList {
  /** How many match; -1 until that is known. */
  count = $state(-1)
  /** Grows when rows arrive. */
  version = $state(0)
  fault = $state.raw<unknown>(null)

  private asked: Asked | null = null
  private pages = new Map<number, { rows: Row[]; old: boolean }>()
  private under = new Map<number, AbortController>()
  private shown: [number, number] = [0, 0]
  private rest: ReturnType<typeof setTimeout> | undefined

  /** Ask for other jobs, or in another order: nothing that was known counts any more. */
  ask(asked: Asked) {
    this.asked = asked
    this.close()
    this.pages.clear()
    this.shown = [0, 0]
    void this.fetch(0)
  }

  /** Ask for nothing more. */
  close() {
    clearTimeout(this.rest)
    for (const stop of this.under.values()) stop.abort()
    this.under.clear()
  }

  row(index: number): Row | undefined {
    void this.version
    return this.pages.get(Math.floor(index / PAGE))?.rows[index % PAGE]
  }

  /** Rows `from` to `to` are looked at: their pages are fetched where they are not here, but not those scrolled past. */
  look(from: number, to: number) {
    this.shown = [from, to]
    for (const page of this.looked()) this.touch(page)
    if (this.looked().every((page) => this.pages.get(page)?.old === false)) return
    clearTimeout(this.rest)
    this.rest = setTimeout(() => this.need(), REST_MS)
  }

  /** What was looked at last stands last, and is kept longest. */
  private touch(page: number) {
    const known = this.pages.get(page)
    if (!known) return
    this.pages.delete(page)
    this.pages.set(page, known)
  }

  private need() {
    for (const page of this.looked()) {
      if (this.pages.get(page)?.old !== false && !this.under.has(page)) void this.fetch(page)
    }
    for (const [page, stop] of this.under) {
      if (this.looked().includes(page)) continue
      stop.abort() // somebody scrolled past it
      this.under.delete(page)
    }
  }

  /** Something happened: what is looked at is read again, the rest when it is looked at. */
  again() {
    for (const page of this.pages.values()) page.old = true
    for (const page of this.looked()) if (!this.under.has(page)) void this.fetch(page)
  }

  private looked(): number[] {
    const [first, last] = this.shown.map((i) => Math.floor(i / PAGE)) as [number, number]
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  }

  private async fetch(page: number) {
    if (!this.asked) return
    const { search, state, site, order, descending } = this.asked
    const stop = new AbortController()
    this.under.set(page, stop)
    try {
      const found = await get<JobPage>(
        'v1/jobs',
        { search, state, site, order, descending, limit: PAGE, offset: page * PAGE, count: true },
        stop.signal,
      )
      if (stop.signal.aborted) return
      this.pages.delete(page)
      this.pages.set(page, { rows: found.jobs.map(rowOf), old: false })
      for (const oldest of [...this.pages.keys()].slice(0, -KEPT)) this.pages.delete(oldest)
      this.count = found.count ?? -1
      this.fault = null
      this.version++
    } catch (fault) {
      if (stop.signal.aborted) return
      this.fault = fault
      clearTimeout(this.rest)
      this.rest = setTimeout(() => this.need(), AGAIN_MS)
    } finally {
      if (this.under.get(page) === stop) this.under.delete(page)
    }
  }
}

function rowOf(job: Job): Row {
  return {
    id: job.id,
    name: job.spec.name,
    tenant: job.spec.tenant ?? '',
    state: job.state,
    reason: job.reason ?? '',
    site: job.site || job.placement?.site || '',
    submitted_s: job.submitted_s ?? 0,
    start_s: begunAt(job),
    planned_s: plannedAt(job),
    end_s: job.end_s ?? 0,
    fen: job.fen ?? 0,
    expected_micro: expectedOf(job),
  }
}

/** What a row is sorted by; what is not known yet is least. */
const KEYS: Record<Order, (row: Row) => number | string> = {
  submitted: (r) => r.submitted_s,
  started: (r) => r.start_s,
  wait: (r) => (r.start_s ? r.start_s - r.submitted_s : -1),
  cost: (r) => r.fen,
  name: (r) => r.name,
}

/** The jobs of a timeline as they stood at a moment. */
export function asTheyStood(at_s: number, asked: Asked): Row[] {
  const needle = asked.search.trim().toLowerCase()
  const rows = (replay.timeline?.jobs ?? [])
    .filter((j) => j.submitted_s <= at_s)
    .map((j) => stood(j, at_s))
    .filter((r) => (!asked.state || r.state === asked.state) && (!asked.site || r.site === asked.site))
    .filter((r) => !needle || `${r.id} ${r.name} ${r.tenant}`.toLowerCase().includes(needle))
  const key = KEYS[asked.order]
  const way = asked.descending ? -1 : 1
  return rows.sort((a, b) => {
    const [x, y] = [key(a), key(b)]
    return way * (x < y ? -1 : x > y ? 1 : a.id < b.id ? -1 : 1)
  })
}

function stood(job: TimelineJob, at_s: number): Row {
  const over = job.end_s > 0 && job.end_s <= at_s
  const begun = job.start_s > 0 && job.start_s <= at_s
  return {
    id: job.job,
    name: job.name,
    tenant: job.tenant,
    state: over ? job.state : begun ? 'running' : 'queued',
    reason: '',
    site: begun || over ? job.site : '',
    submitted_s: job.submitted_s,
    start_s: begun ? job.start_s : 0,
    planned_s: 0,
    end_s: over ? job.end_s : 0,
    fen: over ? job.fen : 0,
    expected_micro: 0,
  }
}
