import { useComputed, useSignal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { clock, count, stamp } from '../format';
import type { Letter } from './api';
import { addressFor, filter, loading, more, narrow, next, opened, rows, selection, total } from './listing';
import { Flags } from './parts';
import { has, mostNamed, none, toggle } from './selection';
import { t } from './words';

/** Time of day, with the date if it is not of today. */
function short(time: string): string {
  const d = new Date(time);
  return d.toDateString() === new Date().toDateString() ? clock(d.getTime()) : stamp(d.getTime()).slice(5, 19);
}

const ids = (): string[] => rows.value.map((l) => l.id);

/** Selects a letter, or takes it out, unless too many would be named. */
function select(id: string): void {
  const s = toggle(selection.value, id, ids());
  if (s.kind === 'some' && s.ids.size > mostNamed) return;
  selection.value = s;
}

/** Opens the letter of the row that was clicked beside its link and its box. */
function openRow(e: MouseEvent, id: string): void {
  if (!(e.target as HTMLElement).closest('a, input') && !getSelection()?.toString()) location.hash = addressFor(id);
}

/** Moves the focus among the rows; returns whether the key was one for that. */
function move(e: KeyboardEvent): boolean {
  const row = (e.target as HTMLElement).closest('tr');
  const all = [...(row?.parentElement?.children ?? [])];
  const at = row ? all.indexOf(row) : -1;
  const to: Record<string, number> = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 };
  const target = all[to[e.key] ?? -1];
  if (at < 0 || !target) return e.key in to;
  const kind = (e.target as HTMLElement).matches('input') ? 'input' : 'a';
  target.querySelector<HTMLElement>(kind)?.focus();
  return true;
}

/** The letters that the filter takes, one row each. */
export function Table() {
  const current = useSignal<string | undefined>(undefined); // the row that Tab reaches
  const first = useComputed(() => (rows.value.some((l) => l.id === current.value) ? current.value : rows.value[0]?.id));
  const body = useKeptPlace();
  const key = (e: KeyboardEvent): void => {
    const link = (e.target as HTMLElement).matches('a');
    const id = (e.target as HTMLElement).closest('tr')?.dataset.id;
    if (link && e.key === ' ' && id) select(id);
    else if (!move(e)) return;
    e.preventDefault();
  };
  return (
    <>
      <table class="list" aria-label={t('caption', { order: t(filter.value.order) })} aria-rowcount={total.value}>
        <Head />
        <tbody ref={body} onKeyDown={key} onFocusIn={(e) => (current.value = (e.target as HTMLElement).closest('tr')?.dataset.id)}>
          {rows.value.map((l) => (
            <Row key={l.id} letter={l} tab={l.id === first.value ? 0 : -1} />
          ))}
        </tbody>
      </table>
      {next.value && (
        <p class="further">
          <button type="button" onClick={() => void more()} aria-disabled={loading.value}>
            {t('more')}
          </button>{' '}
          {t('moreOf', { n: count(rows.value.length), all: count(total.value ?? 0) })}
        </p>
      )}
    </>
  );
}

function Head() {
  const f = filter.value;
  const other = f.order === 'newest' ? 'oldest' : 'newest';
  return (
    <thead>
      <tr>
        <th class="sel" scope="col">
          <SelectShown />
        </th>
        <th class="when" scope="col" aria-sort={f.order === 'newest' ? 'descending' : 'ascending'}>
          <button type="button" class="sort" title={t(f.order)} onClick={() => narrow({ order: other })}>
            {t('when')} <span aria-hidden="true">{f.order === 'newest' ? '↓' : '↑'}</span>
          </button>
        </th>
        <th class="node" scope="col">
          {t('node')}
        </th>
        <th class="why" scope="col">
          {t('reason')}
        </th>
        <th class="text" scope="col">
          {t('text')}
        </th>
        <th class="key" scope="col">
          {t('key')}
        </th>
        <th class="tries" scope="col">
          {t('attempt')}
        </th>
        <th class="notes" scope="col">
          {t('notes')}
        </th>
      </tr>
    </thead>
  );
}

function SelectShown() {
  const shown = ids().slice(0, mostNamed);
  const taken = shown.filter((id) => has(selection.value, id)).length;
  const all = taken > 0 && taken === shown.length;
  return (
    <input
      type="checkbox"
      aria-label={t('selectShown')}
      checked={all}
      indeterminate={taken > 0 && !all}
      onChange={() => (selection.value = all ? none : { kind: 'some', ids: new Set(shown) })}
    />
  );
}

function Row({ letter: l, tab }: { letter: Letter; tab: number }) {
  const time = short(l.time);
  const open = opened.value === l.id;
  const on = has(selection.value, l.id);
  return (
    <tr data-id={l.id} onClick={(e) => openRow(e, l.id)} class={`${open ? 'open' : ''} ${on ? 'on' : ''}`}>
      <td class="sel">
        <input type="checkbox" tabIndex={tab} checked={on} aria-label={t('select', { time, node: l.node })} onChange={() => select(l.id)} />
      </td>
      <td class="when">
        <a
          href={addressFor(l.id)}
          tabIndex={tab}
          title={stamp(Date.parse(l.time))}
          aria-current={open ? 'true' : undefined}
          aria-label={t('open', { time, node: l.node, code: l.code || l.class })}
        >
          {time}
        </a>
      </td>
      <td class="node">{l.node}</td>
      <td class="why">
        <span class="code">{l.code}</span> <span class={`class ${l.class}`}>{l.class}</span>
      </td>
      <td class="text" title={l.text}>
        {l.text}
      </td>
      <td class="key" title={l.key}>
        {l.key}
      </td>
      <td class="tries">{l.attempt}</td>
      <td class="notes">
        <Flags letter={l} />
      </td>
    </tr>
  );
}

/**
 * Keeps the rows where they are on the screen when others come or go above them. At
 * the top of the page nothing is kept: there the new ones are to be seen.
 */
function useKeptPlace() {
  const body = useRef<HTMLTableSectionElement>(null);
  const kept = useRef<Place[]>([]);
  const was = useRef(rows.value);
  if (was.current !== rows.value) {
    was.current = rows.value;
    kept.current = scrollY > 0 ? onScreen(body.current) : [];
  }
  useLayoutEffect(() => {
    const still = kept.current.find((k) => k.row.isConnected);
    if (still) scrollBy(0, still.row.getBoundingClientRect().top - still.top);
    kept.current = [];
  }, [rows.value]);
  return body;
}

interface Place {
  row: Element;
  top: number;
}

function onScreen(body: HTMLElement | null): Place[] {
  const places = [...(body?.children ?? [])].map((row) => ({ row, top: row.getBoundingClientRect().top }));
  return places.filter((p) => p.top >= 0 && p.top < innerHeight);
}
