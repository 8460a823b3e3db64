import { useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { count } from '../format';
import { letters } from '../live/topics';
import { keep } from '../route';
import { connection } from '../state';
import { Bar } from './bar';
import { Detail } from './detail';
import { DropDialog } from './drop';
import { exportLetters } from './export';
import { conditions } from './filter';
import { Filters, Reasons, clearFilter } from './filters';
import './letters.css';
import { filter, opened, refresh, rows, selection, total, trouble } from './listing';
import { Outcomes, dropped } from './outcome';
import { TroubleNote } from './parts';
import { ReplayDialog, type Meant } from './replay';
import { choiceOf, size } from './selection';
import { Table } from './table';
import { t } from './words';

type Asked = Meant & { what: 'replay' | 'drop' };

/** Reads the list when the filter or the counts change, and when the engine is back. */
function useFresh(): void {
  const later = (): void => queueMicrotask(() => void refresh());
  useSignalEffect(() => {
    void filter.value;
    later();
  });
  useSignalEffect(() => {
    void letters.value;
    if (connection.value === 'live') later();
  });
}

/** Tells the style how high the page's header is, below which things stick. */
function useHeaderHeight(): void {
  useEffect(() => {
    const bar = document.querySelector<HTMLElement>('.bar');
    if (!bar) return;
    const root = document.documentElement.style;
    const watch = new ResizeObserver(() => root.setProperty('--bar', `${bar.offsetHeight}px`));
    watch.observe(bar);
    return () => watch.disconnect();
  }, []);
}

/** Gives the focus back to the letter's row when it is closed, and the place of the list. */
function useReturn(id: string | undefined): void {
  const last = useRef(id);
  const place = useRef(0);
  if (id && !last.current) place.current = scrollY;
  useLayoutEffect(() => {
    const before = last.current;
    last.current = id;
    const folded = matchMedia(narrowPage).matches;
    if (folded && !!before !== !!id) scrollTo(0, id ? 0 : place.current);
    if (id || !before) return;
    const row = document.querySelector<HTMLElement>(`tr[data-id="${CSS.escape(before)}"] a`);
    (row ?? document.querySelector<HTMLElement>('.list tbody a'))?.focus({ preventScroll: true });
  }, [id]);
}

const narrowPage = '(max-width: 999px)'; // where a letter takes the place of the list

const close = (): void => keep({ id: undefined });

/** The dead letters: by reason, as a list, and one of them beside it. */
export function LettersView() {
  const asked = useSignal<Asked | undefined>(undefined);
  const id = opened.value;
  useFresh();
  useHeaderHeight();
  useReturn(id);
  useEffect(() => {
    const key = (e: KeyboardEvent): void => {
      if (e.key === 'Escape' && opened.value && !document.querySelector('dialog[open]')) close();
    };
    document.addEventListener('keydown', key);
    return () => document.removeEventListener('keydown', key);
  }, []);
  const one = (what: 'replay' | 'drop' | 'export', letter: string): void => {
    const choice = new URLSearchParams({ id: letter });
    if (what === 'export') void exportLetters(choice);
    else asked.value = { what, choice, n: 1 };
  };
  const selected = (what: 'replay' | 'drop'): void => {
    asked.value = { what, choice: choiceOf(selection.value), n: size(selection.value) };
  };
  return (
    <div class={id ? 'letters split' : 'letters'}>
      <div class="overview">
        <Reasons />
        {!nothing() && <Filters />}
      </div>
      <Outcomes />
      <div class="pair">
        <div class="overview">
          <List act={selected} />
        </div>
        {id && <Detail id={id} close={close} act={one} />}
      </div>
      <Asking asked={asked.value} end={() => (asked.value = undefined)} />
    </div>
  );
}

function Asking({ asked, end }: { asked: Asked | undefined; end: () => void }) {
  if (asked?.what === 'replay') return <ReplayDialog meant={asked} close={end} />;
  if (asked?.what === 'drop') return <DropDialog meant={asked} close={end} done={(n) => (dropped.value = n)} />;
  return null;
}

function List({ act }: { act: (what: 'replay' | 'drop') => void }) {
  const failed = trouble.value && (
    <TroubleNote trouble={trouble.value} retry={() => void refresh()}>
      <strong>{t('unread')}.</strong> {rows.value.length > 0 && t('unreadOld')}
    </TroubleNote>
  );
  if (total.value === undefined) return failed || <p class="empty">{t('reading')}</p>;
  if (rows.value.length === 0) return failed || <Empty />;
  return (
    <section aria-label={t('list')}>
      {failed}
      <Bar act={act} />
      <Table />
    </section>
  );
}

/** Whether there is no letter at all, and none is asked for. */
function nothing(): boolean {
  return total.value === 0 && conditions(filter.value) === 0;
}

function Empty() {
  if (!nothing()) {
    return (
      <div class="empty">
        <h2>{t('noMatchTitle')}</h2>
        <p>{t('noMatch', { n: count(letters.value?.total ?? 0) })}</p>
        <button type="button" onClick={clearFilter}>
          {t('clear')}
        </button>
      </div>
    );
  }
  return (
    <div class="empty">
      <svg viewBox="0 0 24 24" width="36" height="36" aria-hidden="true">
        <path d="M4 12.500l5 5L20 6.500" />
      </svg>
      <h2>{t('noneTitle')}</h2>
      <p>{t('none')}</p>
    </div>
  );
}
