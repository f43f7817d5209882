// A timeline under the scrubber: what was lived or replayed, shown by the same pages as the present.
import type { Site, Timeline } from './api'

export type TimelineJob = Timeline['jobs'][number]

class Replay {
  timeline = $state.raw<Timeline | null>(null)
  /** What it is, for the ribbon. */
  title = $state('')
  /** Whether it is the region's own past, and not a changed world. */
  lived = $state(false)
  at_s = $state(0)
  playing = $state(false)

  on = $derived(this.timeline !== null)

  open(timeline: Timeline, title: string, lived: boolean) {
    this.timeline = timeline
    this.title = title
    this.lived = lived
    this.at_s = timeline.begin_s
    this.playing = false
  }

  close() {
    this.timeline = null
    this.playing = false
  }

  /** Sites as they stood then: cores in use, what ran and what waited there. */
  sites(now: Site[]): Site[] {
    const jobs = this.timeline?.jobs ?? []
    const used = new Map<string, number>()
    const [running, queued] = [new Map<string, number>(), new Map<string, number>()]
    for (const job of jobs) {
      if (job.start_s && job.start_s <= this.at_s && (!job.end_s || this.at_s < job.end_s)) {
        const pool = `${job.site}/${job.pool}`
        used.set(pool, (used.get(pool) ?? 0) + job.cores)
        running.set(job.site, (running.get(job.site) ?? 0) + 1)
      } else if (job.submitted_s <= this.at_s && (!job.start_s || this.at_s < job.start_s) && (!job.end_s || this.at_s < job.end_s)) {
        queued.set(job.origin, (queued.get(job.origin) ?? 0) + 1)
      }
    }
    return now.map((site) => {
      const pools = site.pools.map((p) => ({ ...p, free_cores: Math.max(p.cores - (used.get(`${site.site}/${p.pool}`) ?? 0), 0) }))
      return { ...site, pools, running: running.get(site.site) ?? 0, queued: queued.get(site.site) ?? 0 }
    })
  }
}

export const replay = new Replay()
