import { count } from '../format';
import type { Lag } from './model';

/** Stands for what is not known. */
export const none = '–';

/** Events a second in at most six characters, so that a column keeps its width. */
export function rate(v: number | undefined): string {
  if (v === undefined) return none;
  if (v >= 999_950) return `${(v / 1e6).toFixed(1)}M`;
  return v < 99.95 ? v.toFixed(1) : count(v);
}

/** A number of events, such as 12 345 or 1.2M. */
export function total(v: number | undefined): string {
  if (v === undefined) return none;
  return v >= 10_000_000 ? `${(v / 1e6).toFixed(1)}M` : count(v);
}

/** A wait in its largest fitting unit, such as 0.3 s, 12 s, 5 min. */
export function wait(seconds: number | undefined): string {
  if (seconds === undefined) return none;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** A lag in one line. */
export function behind(lag: Lag | undefined): string {
  return lag ? `${total(lag.events)} · ${wait(lag.seconds)}` : none;
}

// Characters that take the whole width of their size, such as Hangul.
const wide = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/;

/** The beginning of text that fits into width at a font size, both in px, with … if it was cut. */
export function fit(text: string, width: number, size: number): string {
  let used = 0;
  let kept = '';
  for (const c of text) {
    used += size * (wide.test(c) ? 1 : 0.58);
    if (used > width) return `${kept.slice(0, -1)}…`;
    kept += c;
  }
  return kept;
}
