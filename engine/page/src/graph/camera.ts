import type { Point } from './layout';

/** How a picture is shown: scaled by k, then moved by x and y, px. */
export interface View {
  x: number;
  y: number;
  k: number;
}

export interface Size {
  w: number;
  h: number;
}

const [least, most] = [0.2, 2.5]; // scales
const edge = 12; // px kept free around the whole

const clamp = (v: number, from: number, to: number): number => Math.min(Math.max(v, from), to);

/** Shows all of a picture in the middle, not larger than it is. */
export function whole(picture: Size, window: Size): View {
  const k = clamp(Math.min((window.w - 2 * edge) / picture.w, (window.h - 2 * edge) / picture.h), least, 1);
  return { k, x: (window.w - picture.w * k) / 2, y: (window.h - picture.h * k) / 2 };
}

/** Scales by a factor while what is at a point of the window stays there. */
export function zoomed(v: View, at: Point, factor: number): View {
  const k = clamp(v.k * factor, least, most);
  return { k, x: at.x - ((at.x - v.x) * k) / v.k, y: at.y - ((at.y - v.y) * k) / v.k };
}

/** Moves just so far that a point of the picture lies in the window. */
export function into(v: View, p: Point, window: Size, margin = 120): View {
  const room = (size: number): number => Math.min(margin, size / 3);
  const x = clamp(p.x * v.k + v.x, room(window.w), window.w - room(window.w)) - p.x * v.k;
  const y = clamp(p.y * v.k + v.y, room(window.h), window.h - room(window.h)) - p.y * v.k;
  return { ...v, x, y };
}

export type Direction = 'ArrowLeft' | 'ArrowRight' | 'ArrowUp' | 'ArrowDown';

/** The key of the place that lies next in a direction, undefined if none does. */
export function nextOf(places: ReadonlyMap<string, Point>, from: string, direction: Direction): string | undefined {
  const at = places.get(from);
  if (!at) return undefined;
  const level = direction === 'ArrowLeft' || direction === 'ArrowRight';
  const sign = direction === 'ArrowRight' || direction === 'ArrowDown' ? 1 : -1;
  let best: { key: string; far: number } | undefined;
  for (const [key, p] of places) {
    const [ahead, aside] = level ? [(p.x - at.x) * sign, Math.abs(p.y - at.y)] : [(p.y - at.y) * sign, Math.abs(p.x - at.x)];
    const far = ahead + 2 * aside;
    if (key !== from && ahead > 1 && (!best || far < best.far)) best = { key, far };
  }
  return best?.key;
}
