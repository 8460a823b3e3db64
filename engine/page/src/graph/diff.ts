/** An event as a tap shows it. */
export interface Tapped {
  stream: string;
  lane: number;
  position: string;
  index: number;
  appended: string;
  id: string;
  root_id: string;
  key: string;
  time?: string;
  root?: string;
  plugin?: string;
  payload?: string;
  payload_b64?: string;
  record?: Record<string, unknown>;
  [more: string]: unknown;
}

export type Change = 'added' | 'removed' | 'changed' | 'same';

/** One field of two events; a side that has none is undefined. */
export interface Row {
  path: string;
  change: Change;
  before?: string;
  after?: string;
}

/** More fields than these are left out of a comparison. */
export const mostFields = 500;

/** The content of an event: its record, or its payload, as JSON if it is some. */
export function content(e: Tapped): unknown {
  if (e.record !== undefined) return e.record;
  if (e.payload === undefined) return e.payload_b64;
  return parsed(e.payload);
}

/** text as JSON if it is an object or a list, else as it is. */
export function parsed(text: string): unknown {
  if (!/^\s*[{[]/.test(text)) return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * The fields of a value by their paths, such as a.b and list[0], with their values as
 * JSON. What is no object or list is the field `whole`.
 */
export function fields(value: unknown, whole: string): Map<string, string> {
  const found = new Map<string, string>();
  const walk = (v: unknown, path: string, depth: number): void => {
    if (found.size > mostFields) return;
    const members = depth < 30 ? inside(v) : [];
    if (!members.length) {
      if (v !== undefined) found.set(path || whole, JSON.stringify(v));
      return;
    }
    for (const [name, member] of members) walk(member, typeof name === 'number' ? `${path}[${name}]` : path ? `${path}.${name}` : name, depth + 1);
  };
  walk(value, '', 0);
  return found;
}

function inside(v: unknown): [string | number, unknown][] {
  if (Array.isArray(v)) return v.map((member, i) => [i, member]);
  return typeof v === 'object' && v !== null ? Object.entries(v) : [];
}

/** Names the element of a list that is compared, such as 5/7. */
const element = '(element)';

/**
 * What of an event is compared: its content, and the key, time and program beside it. Of
 * a list of records, beside one record, that which has most in common with it.
 */
function compared(e: Tapped, other: Tapped): Map<string, string> {
  const [own, beside] = [content(e), content(other)];
  const one = Array.isArray(own) && own.length > 0 && !Array.isArray(beside) ? nearest(own, beside) : undefined;
  const all = fields(one === undefined ? own : (own as unknown[])[one], 'payload');
  if (one !== undefined) all.set(element, `${one + 1}/${(own as unknown[]).length}`);
  for (const name of ['key', 'time', 'plugin'] as const) if (e[name] !== undefined) all.set(`(${name})`, JSON.stringify(e[name]));
  return all;
}

function nearest(list: unknown[], beside: unknown): number {
  const wanted = fields(beside, 'payload');
  const likeness = list.map((v) => [...fields(v, 'payload')].filter(([path, value]) => wanted.get(path) === value).length);
  return likeness.indexOf(Math.max(...likeness));
}

/** Compares two events field by field, in the order of the first and then of the second. */
export function diff(before: Tapped, after: Tapped): Row[] {
  const [a, b] = [compared(before, after), compared(after, before)];
  return [...new Set([...a.keys(), ...b.keys()])].slice(0, mostFields).map((path) => row(path, a.get(path), b.get(path)));
}

function row(path: string, before: string | undefined, after: string | undefined): Row {
  if (before === undefined) return { path, change: 'added', after: after ?? '' };
  if (after === undefined) return { path, change: 'removed', before };
  return { path, change: before === after ? 'same' : 'changed', before, after };
}

/** How many fields, by name or by value, two events share: the likeness of parent and child. */
function likeness(a: Tapped, b: Tapped): number {
  const rows = diff(a, b);
  const values = new Set(fields(content(a), 'payload').values());
  return rows.filter((r) => r.change === 'same').length * 2 + rows.filter((r) => r.change !== 'removed' && r.after !== undefined && values.has(r.after)).length;
}

/**
 * The events of list that come from the same message as e, the most alike first. Several
 * records of one message share its root id, and are told apart by what is in them.
 */
export function relatives(e: Tapped, list: readonly Tapped[]): Tapped[] {
  const family = list.filter((other) => other.root_id === e.root_id && (!e.root || !other.root || other.root === e.root));
  return family
    .map((other, i) => ({ other, i, like: likeness(other, e) }))
    .sort((x, y) => y.like - x.like || x.i - y.i)
    .map((x) => x.other);
}
