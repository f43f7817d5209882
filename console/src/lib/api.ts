// The node's public API, and nothing else: whatever a page shows, the command line and the SDK can get.
import type { components } from '../generated/api'

export type Schemas = components['schemas']
export type Region = Schemas['RegionStatus']
export type Site = Schemas['SiteStatus']
export type Link = Schemas['LinkStatus']
export type Me = Schemas['Me']
export type Job = Schemas['JobRecord']
export type JobPage = Schemas['JobPage']
export type Explanation = Schemas['Explanation']
export type Option = Schemas['Option']
export type Terms = Schemas['Terms']
export type JobBill = Schemas['JobBill']
export type Happening = Schemas['Happening']
export type Plan = Schemas['Plan']
export type Resource = Schemas['Resource']
export type WhatIf = Schemas['WhatIf']
export type WhatIfRun = Schemas['WhatIfRun']
export type Timeline = Schemas['Timeline']
export type Briefing = Schemas['Briefing']
export type Forecast = Schemas['Forecast']
export type Submission = Schemas['Submission']
export type Problem = Schemas['Problem']
export type ProblemDetails = Schemas['ProblemDetails']

/** What the node answered that is no success: RFC 9457, with everything that is wrong, in both languages. */
export class ApiFault extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly problems: Problem[],
    message: string,
  ) {
    super(message)
  }
}

let token = ''
let onRefused = () => {}

export function useToken(given: string, refused: () => void) {
  token = given
  onRefused = refused
}

function headers(more: Record<string, string> = {}): Record<string, string> {
  return token ? { Authorization: `Bearer ${token}`, ...more } : more
}

/** A request to the node. Raises ApiFault; status 0 where no node answers. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response
  try {
    answer = await fetch(path, { ...init, headers: { ...headers(), ...(init.headers as Record<string, string>) } })
  } catch (fault) {
    if (fault instanceof DOMException && fault.name === 'AbortError') throw fault
    throw new ApiFault(0, 'not_reachable', [], String(fault))
  }
  if (answer.ok) return answer
  let said: Partial<ProblemDetails> = {}
  try {
    said = (await answer.json()) as ProblemDetails
  } catch {
    // no problem details: the status says it
  }
  if (answer.status === 401 && token) onRefused()
  throw new ApiFault(answer.status, said.code ?? '', said.errors ?? [], said.detail ?? answer.statusText)
}

export async function get<T>(path: string, query: Record<string, string | number | boolean> = {}, signal?: AbortSignal): Promise<T> {
  const asked = Object.entries(query).filter(([, v]) => v !== '')
  const tail = asked.length ? `?${new URLSearchParams(asked.map(([k, v]) => [k, String(v)]))}` : ''
  return (await (await request(path + tail, { signal })).json()) as T
}

export async function post<T>(path: string, body?: unknown): Promise<T> {
  const init: RequestInit = { method: 'POST' }
  if (body !== undefined) {
    init.body = JSON.stringify(body)
    init.headers = { 'Content-Type': 'application/json' }
  }
  return (await (await request(path, init)).json()) as T
}
