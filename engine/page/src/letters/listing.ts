import { computed, signal } from '@preact/signals';
import { addressOf, keep, route } from '../route';
import { store } from '../state';
import { list, troubleOf, type Letter, type Trouble } from './api';
import { parseFilter, queryOf, settingsOf, type Filter } from './filter';
import { none, survivors, type Selection } from './selection';

const page = 100; // letters asked for at a time
const most = 10_000; // that the engine lists at once

export const filter = computed<Filter>(() => parseFilter(route.value.settings));
/** The id of the letter that is open, undefined if none is. */
export const opened = computed(() => route.value.settings.get('id') ?? undefined);

/** What was last read. It stays as it is while the engine is away. */
export const rows = signal<readonly Letter[]>([]);
/** Letters that the filter takes; undefined: not read yet. */
export const total = signal<number | undefined>(undefined);
export const next = signal<string | undefined>(undefined);
export const trouble = signal<Trouble | undefined>(undefined);
export const loading = signal(false);
export const selection = signal<Selection>(none);

/** The filter now, as the engine is asked. */
export function query(): URLSearchParams {
  return queryOf(filter.value, store.serverNow());
}

/** Shows other letters: those of the filter with these changes. */
export function narrow(changes: Partial<Filter>): void {
  selection.value = none;
  keep(settingsOf({ ...filter.value, ...changes }));
}

/** The address of this view with a letter open. */
export function addressFor(id: string): string {
  const settings = new URLSearchParams(route.value.settings);
  settings.set('id', id);
  return addressOf('letters', settings);
}

let running: { filter: Filter; abort: AbortController; again: boolean } | undefined;
let shown: Filter | undefined; // the filter that rows are of

const same = (a: Filter | undefined, b: Filter): boolean => JSON.stringify(a) === JSON.stringify(b);

/**
 * Reads the list anew, as far as it is shown. While that is under way for the same
 * filter it is done once more afterwards; for another filter it is given up.
 */
export async function refresh(): Promise<void> {
  const f = filter.value;
  if (running && same(running.filter, f)) {
    running.again = true;
    return;
  }
  running?.abort.abort();
  const me = { filter: f, abort: new AbortController(), again: true };
  running = me;
  loading.value = true;
  while (me.again && running === me) {
    me.again = false;
    await read(f, me.abort.signal);
  }
  if (running !== me) return;
  running = undefined;
  loading.value = false;
}

async function read(f: Filter, signal: AbortSignal): Promise<void> {
  const limit = same(shown, f) ? Math.min(Math.ceil(Math.max(page, rows.value.length) / page) * page, most) : page;
  try {
    const got = await list(query(), { order: f.order, limit: String(limit) }, signal);
    shown = f;
    rows.value = got.letters;
    total.value = got.total;
    next.value = got.next;
    trouble.value = undefined;
    selection.value = survivors(selection.value, got.letters.map((l) => l.id), !got.next);
  } catch (e) {
    if (!signal.aborted) trouble.value = troubleOf(e);
  }
}

/** Reads the page behind the last letter that is shown. */
export async function more(): Promise<void> {
  const after = next.value;
  if (!after || running) return;
  const me = { filter: filter.value, abort: new AbortController(), again: false };
  running = me;
  loading.value = true;
  try {
    const got = await list(query(), { order: me.filter.order, limit: String(page), after }, me.abort.signal);
    rows.value = [...rows.value, ...got.letters];
    next.value = got.next;
    trouble.value = undefined;
  } catch (e) {
    if (!me.abort.signal.aborted) trouble.value = troubleOf(e);
  }
  if (running !== me) return;
  running = undefined;
  loading.value = false;
  if (me.again) await refresh();
}

/** Selects all letters that the filter takes at this moment, and none that come later. */
export async function selectAll(): Promise<void> {
  const q = query();
  try {
    const got = await list(q, { order: 'newest', limit: '1' });
    const newest = got.letters[0];
    selection.value = newest ? { kind: 'all', filter: q, through: newest.id, total: got.total } : none;
  } catch (e) {
    trouble.value = troubleOf(e);
  }
}
