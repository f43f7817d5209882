// Figures as people read them. Times are the region's, whatever the viewer's own zone is.
import { lang } from './texts.svelte'

let offsetS = 8 * 3600

export function useOffset(hours: number) {
  offsetS = hours * 3600
}

function moment(s: number): Date {
  return new Date((s + offsetS) * 1000)
}

function intl(options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(lang() === 'zh' ? 'zh-CN' : 'en-GB', { timeZone: 'UTC', hourCycle: 'h23', ...options })
}

/** 07-15 14:30 of the region's time; '' for 0. */
export function at(s: number): string {
  if (!s) return ''
  const iso = moment(s).toISOString()
  return `${iso.slice(5, 10)} ${iso.slice(11, 16)}`
}

/** 14:30 */
export function clock(s: number, seconds = false): string {
  return moment(s).toISOString().slice(11, seconds ? 19 : 16)
}

/** Wed, 15 July 2026 */
export function day(s: number): string {
  return intl({ weekday: 'short', day: 'numeric', month: 'long', year: 'numeric' }).format(moment(s))
}

/** Hour of the region's day, 0 to 24. */
export function hourOf(s: number): number {
  return (((s + offsetS) % 86400) + 86400) % 86400 / 3600
}

// making one takes longer than using it a hundred times
const formats = new Map<string, Intl.NumberFormat>()

export function number(value: number, digits = 0): string {
  const key = `${lang()} ${digits}`
  let format = formats.get(key)
  if (!format) {
    const options = { minimumFractionDigits: digits, maximumFractionDigits: digits }
    formats.set(key, (format = new Intl.NumberFormat(lang() === 'zh' ? 'zh-CN' : 'en-GB', options)))
  }
  return format.format(value)
}

/** 1.2 k, 3.4 M: three figures or so. */
export function short(value: number): string {
  const size = Math.abs(value)
  for (const [unit, name] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) {
    if (size >= unit) return `${number(value / unit, size / unit < 10 ? 1 : 0)} ${name}`
  }
  return number(value, size > 0 && size < 10 && !Number.isInteger(value) ? 1 : 0)
}

export function bytes(value: number): string {
  return `${short(value)}${Math.abs(value) < 1000 ? ' ' : ''}B`
}

/** Micro-yuan as yuan: two digits, four where it is less than a fen. */
export function yuan(micro: number): string {
  const value = micro / 1e6
  return number(value, value !== 0 && Math.abs(value) < 0.01 ? 4 : 2)
}

export function yuanOfFen(fen: number): string {
  return number(fen / 100, 2)
}

/** 2 h 05, 3 min, 12 s */
export function span(s: number): string {
  const left = Math.round(Math.abs(s))
  const [h, m] = [Math.floor(left / 3600), Math.floor((left % 3600) / 60)]
  const text = h >= 48 ? `${Math.round(h / 24)} d` : h ? `${h} h ${String(m).padStart(2, '0')}` : m ? `${m} min` : `${left} s`
  return s < 0 ? `-${text}` : text
}

/** A share of something: with a digit where it is small, and never 0 where it is not. */
export function part(share: number): string {
  if (share > 0 && share < 0.0005) return `< ${percent(0.001, 1)}`
  return percent(share, share > 0 && share < 0.1 ? 1 : 0)
}

export function percent(share: number, digits = 0): string {
  return `${number(share * 100, digits)} %`
}
