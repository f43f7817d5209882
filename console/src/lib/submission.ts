// What the form of a new job holds, the submission that it makes, and where on the form a problem belongs.
import type { Problem, Schemas, Submission } from './api'
import { lang, t } from './texts.svelte'
import { split } from './words'

/** Numbers stay as they were typed, so that what is half typed is no other number. */
export interface Form {
  name: string
  command: string
  tenant: string
  node: string
  queue: string
  cores: string
  memory_gib: string
  accelerators: string
  accelerator_kind: string
  duration: string
  duration_unit: 'min' | 'h'
  inputs: string[]
  grade: Schemas['DataGrade']
  latency_class_ms: string
  latency_origin: string
  deadline: string
  deadline_firm: boolean
  delay_price_yuan: string
  budget_yuan: string
  stoppable: boolean
  effects: Schemas['Effects']
  pool_kind: string
  nodes: string
  members: string
}

export function empty(tenant: string): Form {
  return {
    name: '', command: '', tenant, node: '', queue: '', cores: '1', memory_gib: '0.5', accelerators: '0',
    accelerator_kind: '', duration: '15', duration_unit: 'min', inputs: [], grade: 'general', latency_class_ms: '0',
    latency_origin: '', deadline: '', deadline_firm: true, delay_price_yuan: '0.10', budget_yuan: '', stoppable: false,
    effects: 'once', pool_kind: '', nodes: '1', members: '',
  }
}

/** Fields of a job's specification and the field of the form where they are typed. */
export const FIELD: Record<string, keyof Form> = {
  memory_bytes: 'memory_gib', duration_s: 'duration', deadline_s: 'deadline', deadline_firm: 'deadline',
  delay_price_fen_per_hour: 'delay_price_yuan', budget_fen: 'budget_yuan',
}

const MORE = new Set<string>(['queue', 'pool_kind', 'nodes', 'members', 'effects', 'stoppable', 'latency_class_ms', 'latency_origin'])

/** Whether a field stands in the part of the form that is closed at first. */
export function isMore(field: string): boolean {
  return MORE.has(field)
}

export interface Made {
  submission: Submission
  /** What is wrong with it that the node cannot see, since it was not even a number. */
  problems: Problem[]
}

/** The submission of a form. `offset_s`: the region's time less UTC. */
export function make(form: Form, key: string, offset_s: number): Made {
  const problems: Problem[] = []
  const command = split(form.command)
  if (command.open) problems.push(own('new_quote_open', 'command'))

  function amount(field: keyof Form, factor: number, fallback: number): number {
    const text = String(form[field]).trim().replace(',', '.')
    if (!text) return fallback
    const value = Number(text)
    if (Number.isFinite(value)) return Math.round(value * factor)
    problems.push(own('new_no_number', field))
    return fallback
  }

  const spec: Partial<Schemas['JobSpec']> = {
    name: form.name.trim(),
    command: command.words,
    cores: amount('cores', 1, 1),
    memory_bytes: amount('memory_gib', 2 ** 30, 2 ** 29),
    duration_s: amount('duration', form.duration_unit === 'h' ? 3600 : 60, 900),
    grade: form.grade,
    effects: form.effects,
    delay_price_fen_per_hour: amount('delay_price_yuan', 100, 0),
  }
  if (form.tenant) spec.tenant = form.tenant
  if (form.queue) spec.queue = form.queue
  const accelerators = amount('accelerators', 1, 0)
  if (accelerators) Object.assign(spec, { accelerators, accelerator_kind: form.accelerator_kind })
  if (form.inputs.length) spec.inputs = form.inputs
  const latency = Number(form.latency_class_ms)
  if (latency) Object.assign(spec, { latency_class_ms: latency, latency_origin: form.latency_origin || form.node })
  if (form.deadline) Object.assign(spec, { deadline_s: fromLocal(form.deadline, offset_s), deadline_firm: form.deadline_firm })
  const budget = amount('budget_yuan', 100, 0)
  if (budget) spec.budget_fen = budget
  if (form.stoppable) spec.stoppable = true
  if (form.pool_kind) spec.pool_kind = form.pool_kind as Schemas['PoolKind']
  const nodes = amount('nodes', 1, 1)
  if (nodes !== 1) spec.nodes = nodes
  const members = amount('members', 1, 0)
  if (members) spec.members = members
  return { submission: { key, spec: spec as Schemas['JobSpec'] }, problems } // what is left out is as the node has it
}

function own(key: 'new_quote_open' | 'new_no_number', field: string): Problem {
  const text = t(`console.${key}`)
  return { code: key, path: `spec.${field}`, what: text, todo: '', what_zh: text, todo_zh: '', file: '', line: 0 }
}

/** Seconds UTC of what a field for date and time holds, read as the region's time. */
export function fromLocal(text: string, offset_s: number): number {
  return Math.floor(Date.parse(`${text}Z`) / 1000) - offset_s
}

export function toLocal(s: number, offset_s: number): string {
  return new Date((s + offset_s) * 1000).toISOString().slice(0, 16)
}

/** The field of the form that a problem's path names: `[0].spec.inputs[2]` is `inputs`. */
export function fieldOf(problem: Problem): string {
  const name = /spec\.(\w+)/.exec(problem.path)?.[1] ?? ''
  return FIELD[name] ?? name
}

/** Which of the jobs that were sent a problem is about, from 0; -1 for none. */
export function indexOf(problem: Problem): number {
  const found = /^(?:jobs)?\[(\d+)\]/.exec(problem.path)
  return found ? Number(found[1]) : problem.line ? problem.line - 1 : -1
}

export function whatOf(problem: Problem): string {
  return (lang() === 'zh' && problem.what_zh) || problem.what
}

export function todoOf(problem: Problem): string {
  return (lang() === 'zh' && problem.todo_zh) || problem.todo
}

/** What is wrong and what to do, as one text. */
export function sentence(problem: Problem): string {
  const [what, todo] = [whatOf(problem), todoOf(problem)]
  return lang() === 'zh' ? `${what}${todo ? `,${todo}` : ''}。` : `${what}.${todo ? ` ${todo[0]!.toUpperCase()}${todo.slice(1)}.` : ''}`
}

/** A key that no other submission has. Without a secure context there is no randomUUID. */
export function freshKey(): string {
  if (crypto.randomUUID) return crypto.randomUUID()
  return [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, '0')).join('')
}

export interface Lines {
  /** One submission each, as JSON without line breaks. */
  texts: string[]
  /** The line of the file at which each begins, from 1. */
  at: number[]
  /** What is wrong before anything is sent. */
  problems: Problem[]
}

/** The submissions in a file: one JSON object, a list of them, or one a line. */
export function readFile(text: string): Lines {
  const trimmed = text.trim()
  if (!trimmed) return { texts: [], at: [], problems: [{ ...own('new_no_number', ''), path: '', what: t('console.new_file_empty'), what_zh: t('console.new_file_empty') }] }
  try {
    const whole: unknown = JSON.parse(trimmed)
    const many = Array.isArray(whole) ? whole : [whole]
    return { texts: many.map((one) => JSON.stringify(one)), at: many.map(() => 0), problems: [] }
  } catch (fault) {
    const lines = text.split('\n')
    const first = lines.findIndex((line) => line.trim())
    if (!parses(lines[first]!) && !lines.some((line, i) => i !== first && /^\s*\{.*\}\s*$/.test(line))) {
      return { texts: [], at: [], problems: [{ ...own('new_no_number', ''), path: '', line: lineOf(fault, trimmed), what: t('console.new_file_no_json'), what_zh: t('console.new_file_no_json') }] }
    }
    const found: Lines = { texts: [], at: [], problems: [] }
    lines.forEach((line, i) => {
      if (!line.trim()) return
      found.texts.push(line.trim())
      found.at.push(i + 1)
    })
    return found
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function lineOf(fault: unknown, text: string): number {
  const said = String(fault)
  const line = /line (\d+)/.exec(said)?.[1]
  const position = /position (\d+)/.exec(said)?.[1]
  return line ? Number(line) : position ? text.slice(0, Number(position)).split('\n').length : 0
}
