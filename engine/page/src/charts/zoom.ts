/** The time that charts show, ms: span before right. */
export interface View {
  right: number;
  span: number;
}

/** What there is to show: from the oldest point until now, and how long a view may be, ms. */
export interface Bounds {
  oldest: number;
  now: number;
  longest: number;
}

const shortest = 1000; // ms

/** The nearest view within bounds; a tenth of the data stays in sight. */
export function clamp({ right, span }: View, b: Bounds): View {
  const length = Math.min(Math.max(span, shortest), Math.max(b.longest, shortest));
  const first = Math.min(b.oldest + length / 10, b.now);
  return { right: Math.min(Math.max(right, Number.isNaN(first) ? right : first), b.now), span: length };
}

/** The view between two times, in any order. */
export function between(a: number, b: number, bounds: Bounds): View {
  return clamp({ right: Math.max(a, b), span: Math.abs(a - b) }, bounds);
}

/** The view that is factor times as long; the time at keeps its place. */
export function zoomed(v: View, at: number, factor: number, bounds: Bounds): View {
  const { span } = clamp({ right: v.right, span: v.span * factor }, bounds);
  return clamp({ right: at + ((v.right - at) * span) / v.span, span }, bounds);
}

/** The view by ms later. */
export function panned(v: View, by: number, bounds: Bounds): View {
  return clamp({ right: v.right + by, span: v.span }, bounds);
}
