// What an event says beyond its kind, in a few words.
import type { Happening } from './api'
import { at, bytes, span, yuan, yuanOfFen } from './format'
import { named, t, word } from './texts.svelte'
import { world } from './world.svelte'

type Body = Record<string, unknown>

function site(id: unknown): string {
  const known = world.site(String(id ?? ''))
  return known ? named(known) : String(id ?? '')
}

function reason(body: Body): string {
  return body.reason ? word('reason', String(body.reason)) : ''
}

function place(body: Body): string {
  const p = body.placement as { site: string; pool: string; start_s: number; finish_s: number } | undefined
  return p ? t('console.job_said_place', { site: site(p.site), pool: p.pool, from: at(p.start_s), to: at(p.finish_s) }) : ''
}

const SAID: Record<string, (body: Body) => string> = {
  'job.held': (b) => `${reason(b)} (${t('console.job_said_needs', { need: Number(b.need), free: Number(b.free) })})`,
  'job.admitted': (b) => (b.reserved_fen ? t('console.job_said_reserved', { yuan: yuanOfFen(Number(b.reserved_fen)) }) : ''),
  'job.raised': (b) => site(b.parent),
  'job.received': (b) => t('console.job_said_from', { node: site(b.peer) }),
  'job.assigned': place,
  'job.placed': place,
  'job.unplaced': (b) => `${reason(b)}${Number(b.gain_micro) ? ` (${t('console.job_said_saves', { yuan: yuan(Number(b.gain_micro)) })})` : ''}`,
  'job.split': (b) => t('console.job_said_parts', { count: (b.parts as unknown[] | undefined)?.length ?? 0 }),
  'job.stop_asked': (b) => `${reason(b)}${Number(b.gain_micro) ? ` (${t('console.job_said_saves', { yuan: yuan(Number(b.gain_micro)) })})` : ''}`,
  'job.paused': (b) => t('console.job_said_done', { span: span(Number(b.done_s)) }),
  'job.ended': (b) => `${word('state', String(b.state))}${b.state === 'succeeded' ? '' : ` · ${reason(b)}${b.exit_status ? ` ${b.exit_status}` : ''}`}`,
  'job.settled': (b) => `${yuanOfFen(Number(b.fen))} ${t('console.explain_yuan')}`,
  'job.reported': (b) => `${word('state', String(b.state))} · ${site(b.peer)}`,
  'job.replaced': (b) => site(b.peer),
  'job.taken_back': (b) => `${site(b.child)} · ${reason(b)}`,
  'transfer.started': (b) => `${b.dataset} · ${bytes(Number(b.declared_bytes))} · ${site(b.source)} · ${yuan(Number(b.micro))} ${t('console.explain_yuan')}`,
  'transfer.ended': (b) => `${b.dataset}${b.fault ? ` · ${b.fault}` : ''}`,
  'transfer.delayed': (b) => `${b.dataset} · ${b.fault}`,
}

export function said(event: Happening): string {
  const body = event.body as Body
  return (SAID[event.kind] ?? reason)(body)
}
