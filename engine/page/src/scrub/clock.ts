/** A stretch of time, ms since the epoch. */
export interface Stretch {
  from: number;
  to: number;
}

/** The time in s that is nearest to at; its beginning if s is empty. */
export function within(at: number, s: Stretch): number {
  return Math.max(s.from, Math.min(at, s.to));
}

/** Where at is in s, 0 at its beginning to 1 at its end. */
export function fraction(at: number, s: Stretch): number {
  return s.to > s.from ? (within(at, s) - s.from) / (s.to - s.from) : 1;
}

/** The time at a fraction of s. */
export function timeAt(part: number, s: Stretch): number {
  return Math.round(s.from + Math.max(0, Math.min(part, 1)) * (s.to - s.from));
}

const second = 1000;
const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].map((n) => n * second);

/** How far one press of an arrow goes while charts show span ms: about a sixtieth, in round numbers. */
export function stepOf(span: number): number {
  return steps.find((s) => s >= span / 60) ?? 3600 * second;
}

/** The time at the right edge after a key, undefined for keys that do not move it. */
export function moved(key: string, shift: boolean, at: number, span: number, s: Stretch): number | undefined {
  const step = stepOf(span) * (shift ? 10 : 1);
  const far: Record<string, number> = { ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step, PageUp: span, PageDown: -span };
  if (key === 'Home') return s.from;
  if (key === 'End') return s.to;
  const by = far[key];
  return by === undefined ? undefined : within(at + by, s);
}

/** Length of the pieces in which the past is fetched while charts show span ms. */
export function pieceOf(span: number): number {
  return Math.max(15 * second, Math.ceil(span / 4 / second) * second);
}

const behind = 2; // pieces beyond the left edge, for what came late
const ahead = 3 * second; // of the viewer's time that is fetched in advance

/**
 * The numbers of the pieces, length ms each, that are needed to show span ms before
 * at and to play on at speed; those that are seen first come first.
 */
export function pieces(at: number, span: number, length: number, speed: number, s: Stretch): number[] {
  const last = Math.floor(at / length);
  const first = Math.floor(Math.max(at - span, s.from) / length);
  const oldest = Math.floor(s.from / length);
  const newest = Math.floor(Math.min(at + Math.max(ahead * speed, length), s.to) / length);
  const list: number[] = [];
  for (let n = last; n >= first; n--) list.push(n);
  for (let n = last + 1; n <= newest; n++) list.push(n);
  for (let n = first - 1; n >= Math.max(first - behind, oldest); n--) list.push(n);
  return list;
}

/** The right edge after passed ms of the viewer's time at speed, not beyond limit. */
export function played(at: number, passed: number, speed: number, limit: number): number {
  return Math.max(at, Math.min(at + passed * speed, limit));
}

const two = (n: number): string => String(n).padStart(2, '0');

/** The value of an input of type datetime-local for a time, in the browser's zone. */
export function field(ms: number): string {
  const d = new Date(ms);
  const date = `${String(d.getFullYear()).padStart(4, '0')}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  return `${date}T${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** The time of such a value, undefined if it is none. */
export function typed(text: string): number | undefined {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?/.test(text) ? new Date(text).getTime() : NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

/** A name for a replay that is begun at ms; the engine takes [a-z][a-z0-9_]{0,19}. */
export function replayName(ms: number): string {
  return `r${field(ms).slice(5).replace(/\D/g, '').replace(/^(\d{4})/, '$1_')}`;
}
