// Who looks: the token is kept for this tab alone, and what its holder may not do is not shown.
import { ApiFault, get, useToken, type Me } from './api'

const KEPT = 'sanjin.token'

class Session {
  token = $state('')
  me = $state.raw<Me | null>(null)
  /** Why nobody is signed in, where somebody tried: 'refused' or 'away'. */
  fault = $state<'' | 'refused' | 'away'>('')

  /** Sign in again with the token of before, or of the address that `sanjin console` opened. */
  async restore() {
    const given = new URLSearchParams(location.hash.slice(1)).get('token')
    if (given) history.replaceState(null, '', location.pathname) // it is not to stay in the address or the history
    await this.signIn(given ?? sessionStorage.getItem(KEPT) ?? '')
    if (!given && !this.token) this.fault = ''
  }

  /** True where the node knows the token, or shows itself to everybody. */
  async signIn(token: string): Promise<boolean> {
    useToken(token, () => this.signOut())
    try {
      this.me = await get<Me>('v1/me')
    } catch (fault) {
      this.signOut()
      this.fault = fault instanceof ApiFault && fault.status === 0 ? 'away' : 'refused'
      return false
    }
    this.token = token
    this.fault = ''
    if (token) sessionStorage.setItem(KEPT, token)
    return true
  }

  signOut() {
    sessionStorage.removeItem(KEPT)
    useToken('', () => {})
    this.token = ''
    this.me = null
  }

  may(action: string): boolean {
    return this.me?.may.includes(action) ?? false
  }
}

export const session = new Session()
