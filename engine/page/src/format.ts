import { signal } from '@preact/signals';

/**
 * A value among others that span a range: with the digits that tell them apart,
 * about three, and no more than the values themselves have.
 */
export function number(v: number, decimals: number | undefined, span: number, own = 12): string {
  if (decimals !== undefined) return v.toFixed(decimals);
  const size = Math.max(Math.abs(v), span);
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return v.toExponential(3);
  const fine = span > 0 ? Math.ceil(-Math.log10(span / 500)) : own;
  const coarse = size > 0 ? 4 - Math.floor(Math.log10(size)) : 2;
  return v.toFixed(Math.min(Math.max(Math.min(fine, coarse, own), 0), 6));
}

/** Digits behind the point that a value has when it is written out. */
export function digits(v: number): number {
  const text = String(v);
  if (text.includes('e')) return 12;
  const point = text.indexOf('.');
  return point < 0 ? 0 : text.length - point - 1;
}

const two = (n: number): string => String(n).padStart(2, '0');

/** In which zone times are shown: the browser's, UTC, or the server's. */
export type Zone = 'local' | 'utc' | 'server';
export const zone = signal<Zone>('local');
/** Minutes that the server's time of day is ahead of UTC; undefined until it has told. */
export const serverOffset = signal<number | undefined>(undefined);

/** Minutes that the shown time of day is ahead of UTC at the time ms. */
export function offsetAt(ms: number): number {
  if (zone.value === 'utc') return 0;
  if (zone.value === 'server' && serverOffset.value !== undefined) return serverOffset.value;
  return -new Date(ms).getTimezoneOffset();
}

/** The zone of shown times, such as UTC+9 or UTC−3:30. */
export function zoneName(ms = Date.now()): string {
  const offset = offsetAt(ms);
  if (!offset) return 'UTC';
  const minutes = Math.abs(offset) % 60;
  return `UTC${offset < 0 ? '−' : '+'}${Math.floor(Math.abs(offset) / 60)}${minutes ? ':' + two(minutes) : ''}`;
}

/** A date whose UTC fields are what is shown for the time ms. */
function shown(ms: number): Date {
  return new Date(ms + offsetAt(ms) * 60_000);
}

/** A date whose local fields are what is shown for the time ms, as uPlot's tzDate asks. */
export function zoned(ms: number): Date {
  const d = shown(ms);
  return new Date(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate(), d.getUTCHours(), d.getUTCMinutes(), d.getUTCSeconds(), d.getUTCMilliseconds());
}

/** Time of day in the chosen zone, with milliseconds if asked. */
export function clock(ms: number, fine = false): string {
  const d = shown(ms);
  const base = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
  return fine ? `${base}.${String(d.getUTCMilliseconds()).padStart(3, '0')}` : base;
}

/** Date and time of day in the chosen zone, for points that are not of today. */
export function stamp(ms: number): string {
  const d = shown(ms);
  return `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} ${clock(ms, true)}`;
}

/** Labels of a time axis whose ticks are incr ms apart. */
export function axisTime(ms: number, incr: number): string {
  const d = shown(ms);
  const midnight = d.getUTCHours() === 0 && d.getUTCMinutes() === 0 && d.getUTCSeconds() === 0;
  if (incr >= 86_400_000 || (midnight && incr >= 60_000)) return `${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`;
  return incr < 60_000 ? clock(ms) : clock(ms).slice(0, 5);
}

/** Labels of a value axis whose ticks are incr apart: no digit more than they need. */
export function axisNumber(v: number, incr: number): string {
  const size = Math.abs(v);
  if (size >= 1e6 || (size > 0 && incr < 1e-4)) return v.toExponential(2);
  const digits = Math.max(0, -Math.floor(Math.log10(incr) + 1e-9));
  return (Math.abs(v) < incr / 1e6 ? 0 : v).toFixed(digits);
}

/** A whole number with thin groups, such as 12 345. */
export function count(n: number): string {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+(?!\d))/g, '\u202f');
}
