// The terms of a price, and sums of rounded figures that still add up where they are shown.
import type { Explanation, Option, Terms } from './api'

export const TERMS = ['energy', 'carbon', 'transport', 'latency', 'use', 'scarcity', 'waiting'] as const
export type Term = (typeof TERMS)[number]

export function payable(terms: Terms): number {
  return terms.energy + terms.carbon + terms.transport + terms.use
}

/** Those that could take it, the best first: by price, then start, then site. */
export function ranked(explanation: Explanation): Option[] {
  return explanation.options
    .filter((o) => o.terms)
    .sort((a, b) => (a.total_micro ?? 0) - (b.total_micro ?? 0) || a.start_s - b.start_s || (a.site < b.site ? -1 : 1))
}

export function excluded(explanation: Explanation): Option[] {
  return explanation.options.filter((o) => !o.terms)
}

/** How many digits after the point tell amounts of this size apart, micro-yuan. */
export function digitsFor(micro: number): number {
  const yuan = Math.abs(micro) / 1e6
  return yuan >= 10 ? 2 : yuan >= 0.1 ? 3 : 4
}

/** Amounts rounded to so many digits, in yuan, so that what is shown adds up to the rounded sum: the largest rest
    is rounded up first. */
export function adding(micros: number[], digits: number): number[] {
  const unit = 10 ** (6 - digits)
  const whole = micros.map((m) => Math.floor(m / unit))
  let left = Math.round(micros.reduce((a, b) => a + b, 0) / unit) - whole.reduce((a, b) => a + b, 0)
  const order = micros.map((m, i) => [m / unit - whole[i]!, i] as const).sort((a, b) => b[0] - a[0])
  for (const [, i] of order) {
    if (left-- <= 0) break
    whole[i]!++
  }
  return whole.map((w) => (w * unit) / 1e6)
}

/** The decision that could choose among the most sites; of equals the last. */
export function widest(found: Explanation[]): Explanation | undefined {
  const weighed = (e: Explanation) => e.options.filter((o) => o.terms).length
  return found.reduce<Explanation | undefined>((best, e) => (!best || weighed(e) >= weighed(best) ? e : best), undefined)
}
