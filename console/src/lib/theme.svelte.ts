// Light or dark: as the system says, until somebody chooses.
const KEPT = 'sanjin.theme'

class Theme {
  dark = $state(false)

  constructor() {
    const system = matchMedia('(prefers-color-scheme: dark)')
    const kept = localStorage.getItem(KEPT)
    this.set(kept ? kept === 'dark' : system.matches)
    system.addEventListener('change', (e) => {
      if (!localStorage.getItem(KEPT)) this.set(e.matches)
    })
  }

  private set(dark: boolean) {
    this.dark = dark
    document.documentElement.dataset.theme = dark ? 'dark' : 'light'
  }

  toggle() {
    localStorage.setItem(KEPT, this.dark ? 'light' : 'dark')
    this.set(!this.dark)
  }
}

export const theme = new Theme()
