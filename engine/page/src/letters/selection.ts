/** The letters that are selected: these, or all that a filter took when they were counted. */
export type Selection =
  | { kind: 'some'; ids: ReadonlySet<string> }
  | { kind: 'all'; filter: URLSearchParams; through: string; total: number };

export const none: Selection = { kind: 'some', ids: new Set() };

/** The most letters that are asked for by their names: all have to fit into one address. */
export const mostNamed = 1000;

/** The order in which letters of these ids ("<ms>-<number>") were stored; "" is before all. */
export function compare(a: string, b: string): number {
  const [x, y] = [a, b].map((id) => id.split('-').map(Number));
  return (x?.[0] ?? 0) - (y?.[0] ?? 0) || (x?.[1] ?? 0) - (y?.[1] ?? 0);
}

export function has(s: Selection, id: string): boolean {
  return s.kind === 'all' ? compare(id, s.through) <= 0 : s.ids.has(id);
}

export function size(s: Selection): number {
  return s.kind === 'all' ? s.total : s.ids.size;
}

/** Selects id, or if it is selected takes it out. Of all, those that are shown are left then. */
export function toggle(s: Selection, id: string, shown: readonly string[]): Selection {
  const ids = new Set(s.kind === 'all' ? shown.filter((other) => has(s, other)) : s.ids);
  if (!ids.delete(id)) ids.add(id);
  return { kind: 'some', ids };
}

/**
 * The selection after the list was read anew. A selected letter that is not where it
 * would stand in shown is gone; one beyond the end of a list that goes on may be there.
 */
export function survivors(s: Selection, shown: readonly string[], complete: boolean): Selection {
  if (s.kind === 'all') return shown.some((id) => has(s, id)) || !complete ? s : none;
  const known = new Set(shown);
  const [first, last] = [shown[0] ?? '', shown[shown.length - 1] ?? ''];
  const beyond = (id: string): boolean => !complete && compare(id, last) * compare(last, first) > 0;
  const ids = new Set([...s.ids].filter((id) => known.has(id) || beyond(id)));
  return ids.size === s.ids.size ? s : { kind: 'some', ids };
}

/** The selection as the engine's API asks for it. */
export function choiceOf(s: Selection): URLSearchParams {
  if (s.kind === 'some') return new URLSearchParams([...s.ids].sort(compare).map((id) => ['id', id]));
  const q = new URLSearchParams(s.filter);
  q.set('through', s.through);
  q.set('all', 'true');
  return q;
}
