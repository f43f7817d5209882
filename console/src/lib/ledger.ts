// The register's figures: how they are counted, found and written.
import type { Resource } from './api'
import { lang, named, word } from './texts.svelte'

export type Figure = Resource['figures'][number]
export type Status = Figure['status']
export type Counts = Record<Status, number>

/** From what a public page says to what nobody has found a source for. */
export const STATUSES: Status[] = ['sourced', 'computed', 'estimated', 'believed']

/** In the order in which a reader looks for them. */
export const KINDS: Resource['kind'][] = ['region', 'site', 'pool', 'generation', 'facility', 'link', 'dataset', 'tariff', 'grid']

export interface Asked {
  words: string
  kind: string
  state: string
  status: string
}

/** Figures by how they are known; the facts of a facility, which have no figure, count as one. */
export function counted(resources: Resource[]): Counts {
  const found: Counts = { sourced: 0, computed: 0, estimated: 0, believed: 0 }
  for (const resource of resources) {
    for (const figure of resource.figures ?? []) found[figure.status]++
    if (resource.status) found[resource.status]++
  }
  return found
}

/** Whether a resource is what is asked for; the words may be in its names, its figures or their sources. */
export function suits(resource: Resource, asked: Asked): boolean {
  if (asked.kind && resource.kind !== asked.kind) return false
  if (asked.state && resource.state !== asked.state) return false
  if (asked.status && resource.status !== asked.status && !resource.figures?.some((f) => f.status === asked.status)) return false
  const words = asked.words.toLowerCase().split(/\s+/).filter(Boolean)
  if (!words.length) return true
  const text = [resource.id, resource.name_en, resource.name_zh, word('resource', resource.kind), resource.source ?? '', resource.source_text ?? '', ...(resource.figures ?? []).flatMap((f) => [f.name, word('figure', f.name), f.source, f.source_text])].join(' ').toLowerCase()
  return words.every((w) => text.includes(w))
}

/** A group of the register: a site with what is at it, or what belongs to no site: the region's own, links, datasets. */
export interface Group {
  id: string
  head: Resource | null
  rest: Resource[]
}

/** Resources by site, in the order given: first what is the whole region's, last its links and datasets. */
export function grouped(resources: Resource[]): Group[] {
  const groups = new Map<string, Group>([['*region', { id: '*region', head: null, rest: [] }]])
  for (const kind of ['', 'link', 'dataset']) {
    for (const resource of resources) {
      const apart = resource.kind === 'link' || resource.kind === 'dataset' ? resource.kind : ''
      if (apart !== kind) continue
      const id = kind ? `*${kind}` : resource.kind === 'site' ? resource.id : resource.site || '*region'
      if (!groups.has(id)) groups.set(id, { id, head: null, rest: [] })
      take(groups.get(id)!, resource)
    }
  }
  for (const group of groups.values()) group.rest.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind))
  return [...groups.values()].filter((g) => g.head || g.rest.length)
}

function take(group: Group, resource: Resource) {
  if (resource.kind === 'site') group.head = resource
  else group.rest.push(resource)
}

/** A figure's value with the digits that it has, six at most. */
export function exact(value: number): string {
  return new Intl.NumberFormat(lang() === 'zh' ? 'zh-CN' : 'en-GB', { maximumSignificantDigits: 6 }).format(value)
}

/** The name of a resource below its site: without the site's own, which stands above it. */
export function title(resource: Resource): string {
  return named(resource) || resource.id
}
