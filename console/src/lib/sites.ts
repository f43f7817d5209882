// What the pages say of a site, from its status.
import type { Link, Site } from './api'

const SLOT_S = 900

export interface Use {
  cores: number
  taken: number
  share: number
}

export function use(site: Site): Use {
  const cores = site.pools.reduce((sum, p) => sum + p.cores, 0)
  const taken = cores - site.pools.reduce((sum, p) => sum + p.free_cores, 0)
  return { cores, taken, share: cores ? taken / cores : 0 }
}

export function power(site: Site): number {
  return site.it_cap_kw ? site.it_reserved_kw / site.it_cap_kw : 0
}

/** Gbit/s over a link, the mean of the present quarter of an hour. */
export function flow(link: Link): number {
  return (link.carried_bytes * 8) / SLOT_S / 1e9
}

/** ok, stale (its parent waits for a word), cut (no line) or fault. */
export function health(site: Site): 'ok' | 'cut' | 'fault' {
  return site.fault ? 'fault' : site.parent_reachable ? 'ok' : 'cut'
}
