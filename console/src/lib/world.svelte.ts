// The region as the pages see it: live from the stream, or as a timeline under the scrubber has it.
import { get, type Happening, type Link, type Region, type Site } from './api'
import { useOffset } from './format'
import { replay } from './replay.svelte'
import { read, type Message } from './stream'

const AGAIN_MS = 2000
const RECENT = 200

interface Told {
  now_s: number
  sites: Site[]
  links: Link[]
}

class World {
  region = $state.raw<Region | null>(null)
  private live = $state.raw<Site[]>([])
  links = $state.raw<Link[]>([])
  /** off, on, or lost: the pages then show what was known last. */
  state = $state<'off' | 'on' | 'lost'>('off')
  /** Grows when something was written to a journal: lists read again. */
  beat = $state(0)
  /** What was written last, the newest first. */
  recent = $state.raw<Happening[]>([])
  private liveNow = $state(0)

  now_s = $derived(replay.on ? replay.at_s : this.liveNow)
  sites = $derived(replay.on ? replay.sites(this.live) : this.live)

  private base: [number, number] = [0, 0]
  private last = ''
  private stop: AbortController | null = null

  constructor() {
    setInterval(() => this.tick(), 500)
  }

  site(id: string): Site | undefined {
    return this.sites.find((s) => s.site === id)
  }

  async open() {
    this.close()
    const stop = (this.stop = new AbortController())
    this.region = await get<Region>('v1/region')
    useOffset(this.region.utc_offset_h)
    this.take({ now_s: this.region.now_s, ...(await this.present()) })
    void this.follow(stop.signal)
  }

  close() {
    this.stop?.abort()
    this.stop = null
    this.state = 'off'
    this.last = ''
    this.recent = []
  }

  private async present(): Promise<{ sites: Site[]; links: Link[] }> {
    const [sites, links] = await Promise.all([get<Site[]>('v1/sites'), get<Link[]>('v1/links')])
    return { sites, links }
  }

  private async follow(signal: AbortSignal) {
    while (!signal.aborted) {
      try {
        await read('v1/events?present=true', this.last, (message) => this.hear(message), signal)
      } catch {
        // it is tried again, whatever it was
      }
      if (signal.aborted) return
      this.state = 'lost'
      await new Promise((done) => setTimeout(done, AGAIN_MS))
    }
  }

  private hear(message: Message) {
    this.state = 'on'
    if (message.id) this.last = message.id
    if (message.event === 'present') this.take(JSON.parse(message.data) as Told)
    else if (message.event === 'reset') this.beat++
    else if (message.event !== 'hello') {
      this.recent = [JSON.parse(message.data) as Happening, ...this.recent.slice(0, RECENT - 1)]
      this.beat++
    }
  }

  private take(told: Told) {
    this.live = told.sites
    this.links = told.links
    this.base = [told.now_s, performance.now()]
    this.tick()
  }

  private tick() {
    const rate = this.state === 'lost' ? 0 : (this.region?.rate ?? 1)
    this.liveNow = Math.floor(this.base[0] + ((performance.now() - this.base[1]) / 1000) * rate)
  }
}

export const world = new World()

/** Runs `act` now and when the journals grow, at most once in `every` ms; for use in an effect, which ends it. */
export function onBeat(act: () => void, every = 1000): () => void {
  let timer: ReturnType<typeof setTimeout> | null = null
  let done = -Infinity
  const stop = $effect.root(() => {
    $effect(() => {
      void world.beat
      if (timer) return
      timer = setTimeout(() => {
        timer = null
        done = performance.now()
        act()
      }, Math.max(0, done + every - performance.now()))
    })
  })
  return () => {
    if (timer) clearTimeout(timer)
    stop()
  }
}
