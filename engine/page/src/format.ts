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

/** Time of day in the browser's zone, with milliseconds if asked. */
export function clock(ms: number, fine = false): string {
  const d = new Date(ms);
  const base = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
  return fine ? `${base}.${String(d.getMilliseconds()).padStart(3, '0')}` : base;
}

/** Date and time of day, for points that are not of today. */
export function stamp(ms: number): string {
  const d = new Date(ms);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(ms, true)}`;
}

/** Labels of a time axis whose ticks are incr ms apart. */
export function axisTime(ms: number, incr: number): string {
  const d = new Date(ms);
  if (incr >= 86_400_000 || (d.getHours() === 0 && d.getMinutes() === 0 && d.getSeconds() === 0 && incr >= 60_000)) {
    return `${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  }
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
