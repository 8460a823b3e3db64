/** Which letters are shown; an empty text asks for nothing. */
export interface Filter {
  node: string;
  class: string;
  code: string;
  text: string;
  key: string;
  generation: string;
  from: string; // RFC 3339, or how long ago, such as -15m
  to: string; // RFC 3339
  order: Order;
}

export type Order = 'newest' | 'oldest';

export const classes = ['rejected', 'unsure', 'away', 'fatal'] as const;
/** How long ago, to choose from. */
export const presets = ['-15m', '-1h', '-24h', '-7d'] as const;

const plain = ['node', 'class', 'code', 'text', 'key', 'generation'] as const;
const units: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds of a length of time such as -15m, NaN if it is none. */
export function ago(text: string): number {
  const m = /^-(\d{1,4})([mhd])$/.exec(text);
  return m ? Number(m[1]) * (units[m[2] ?? ''] ?? NaN) : NaN;
}

/** Reads a filter from an address. What makes no sense is left out. */
export function parseFilter(settings: URLSearchParams): Filter {
  const f: Filter = { node: '', class: '', code: '', text: '', key: '', generation: '', from: '', to: '', order: 'newest' };
  for (const name of plain) f[name] = settings.get(name) ?? '';
  if (!classes.some((c) => c === f.class)) f.class = '';
  const from = settings.get('from') ?? '';
  if (ago(from) > 0 || isTime(from)) f.from = from;
  const to = settings.get('to') ?? '';
  if (isTime(to)) f.to = to;
  if (settings.get('order') === 'oldest') f.order = 'oldest';
  return f;
}

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text));
}

/** The settings of an address that say the same; undefined is left out of it. */
export function settingsOf(f: Filter): Record<string, string | undefined> {
  const out: Record<string, string | undefined> = { order: f.order === 'newest' ? undefined : f.order };
  for (const name of [...plain, 'from', 'to'] as const) out[name] = f[name] || undefined;
  return out;
}

/** The filter as the engine's API asks for it, with now (ms) for what is some time ago. */
export function queryOf(f: Filter, now: number): URLSearchParams {
  const q = new URLSearchParams();
  for (const name of plain) if (f[name]) q.set(name, f[name]);
  if (f.from) q.set('from', new Date(ago(f.from) > 0 ? now - ago(f.from) : f.from).toISOString());
  if (f.to) q.set('to', new Date(f.to).toISOString());
  return q;
}

/** How many of the conditions are set; a reason's are one. */
export function conditions(f: Filter): number {
  const reason = f.node || f.class || f.code ? 1 : 0;
  return reason + [f.text, f.key, f.generation, f.from || f.to].filter(Boolean).length;
}

/** A time as an input of type datetime-local writes it, in the browser's zone. */
export function localTime(text: string): string {
  if (!isTime(text)) return '';
  const d = new Date(text);
  return new Date(d.getTime() - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The opposite of [localTime]; '' if it is no time. */
export function fromLocal(text: string): string {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? '' : new Date(ms).toISOString().replace('.000Z', 'Z');
}
