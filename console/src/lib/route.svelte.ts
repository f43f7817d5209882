// Where one is: #/page/rest?query. The server knows one page only.
class Route {
  private hash = $state(location.hash)

  constructor() {
    addEventListener('hashchange', () => (this.hash = location.hash))
  }

  private path = $derived(this.hash.replace(/^#\/?/, '').split('?')[0] ?? '')
  /** The parts of the path: `['jobs', 'taiyuan-4']`. */
  parts = $derived(this.path.split('/').filter(Boolean).map(decodeURIComponent))
  page = $derived(this.parts[0] ?? 'net')
  query = $derived(new URLSearchParams(this.hash.split('?')[1] ?? ''))
}

export const route = new Route()

export function to(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join('/')}`
}

export function go(...parts: string[]) {
  location.hash = to(...parts)
}
