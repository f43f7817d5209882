// Where the map draws each site: from the seats' own coordinates, pushed apart where they would cover each other.

export interface Seat {
  site: string
  lat: number
  lon: number
}

export interface Spot {
  site: string
  x: number
  y: number
}

/** By how much one direction may be drawn larger than the other, to fill the box: it is a scheme, not a survey. */
const STRETCH = 1.7

/** Spots within a box of `width` x `height`, no two nearer than `apart` where there is room. */
export function layout(seats: Seat[], width: number, height: number, apart: number, margin: number): Spot[] {
  if (!seats.length) return []
  const middle = seats.reduce((sum, s) => sum + s.lat, 0) / seats.length
  const flat = seats.map((s) => ({ site: s.site, x: s.lon * Math.cos((middle * Math.PI) / 180), y: -s.lat }))
  const [xs, ys] = [flat.map((p) => p.x), flat.map((p) => p.y)]
  const [left, top] = [Math.min(...xs), Math.min(...ys)]
  const [across, down] = [Math.max(...xs) - left || 1, Math.max(...ys) - top || 1]
  const [h, v] = [(width - 2 * margin) / across, (height - 2 * margin) / down]
  const [sx, sy] = [Math.min(h, v * STRETCH), Math.min(v, h * STRETCH)]
  const [dx, dy] = [(width - across * sx) / 2, (height - down * sy) / 2]
  const spots = flat.map((p) => ({ site: p.site, x: dx + (p.x - left) * sx, y: dy + (p.y - top) * sy }))
  for (let round = 0; round < 200 && spread(spots, apart); round++) {
    for (const spot of spots) {
      spot.x = Math.min(Math.max(spot.x, margin), width - margin)
      spot.y = Math.min(Math.max(spot.y, margin), height - margin)
    }
  }
  return spots
}

/** Push every pair that is too near half the way apart; whether there was one. */
function spread(spots: Spot[], apart: number): boolean {
  let moved = false
  for (let i = 0; i < spots.length; i++) {
    for (let j = i + 1; j < spots.length; j++) {
      const [a, b] = [spots[i]!, spots[j]!]
      const [x, y] = [b.x - a.x || 0.01 * (j - i), b.y - a.y]
      const far = Math.hypot(x, y) || 0.01
      if (far >= apart - 0.5) continue
      const by = (apart - far) / 2 / far
      a.x -= x * by
      a.y -= y * by
      b.x += x * by
      b.y += y * by
      moved = true
    }
  }
  return moved
}
