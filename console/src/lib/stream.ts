// The one stream of events (server-sent events), read with fetch since EventSource cannot send a token.
import { request } from './api'

export interface Message {
  id: string
  event: string
  data: string
}

/** Reads the stream until it ends or `signal` says so; `last` is the id after which to go on. */
export async function read(path: string, last: string, tell: (message: Message) => void, signal: AbortSignal) {
  const answer = await request(path, { signal, headers: last ? { 'Last-Event-ID': last } : {} })
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    rest += value
    const parts = rest.split('\n\n')
    rest = parts.pop()!
    for (const part of parts) {
      const message = parse(part)
      if (message) tell(message)
    }
  }
}

function parse(text: string): Message | null {
  const found: Message = { id: '', event: 'message', data: '' }
  for (const line of text.split('\n')) {
    const colon = line.indexOf(':')
    if (colon <= 0) continue // a comment that keeps the line open
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')]
    if (name === 'id') found.id = value
    else if (name === 'event') found.event = value
    else if (name === 'data') found.data += value
  }
  return found.data ? found : null
}
