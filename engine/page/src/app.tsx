import type { ComponentType } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { range } from './charts/time';
import { count } from './format';
import { announceLetters, Announcements, announceStates } from './frame/announce';
import { StateChip } from './frame/chip';
import { dialog, Dialogs } from './frame/dialog';
import { Notices } from './frame/notices';
import { otherLanguage } from './frame/shortcuts';
import { duration, lang, t } from './i18n';
import { ChartsInTime } from './intime';
import { lazy } from './lazy';
import { letters } from './live/topics';
import { addressOf, route, views, type View } from './route';
import { beat, connection, filter, longest, Rate, spans, store } from './state';

function Throughput() {
  void beat.value;
  const rate = useRef(new Rate());
  const perSecond = rate.current.measure(store.points, Date.now());
  return <span class="rate">{t('perSecond', { n: count(perSecond) })}</span>;
}

function Range() {
  void beat.value;
  const known = spans.filter((s) => s <= longest() || s === range.value);
  if (range.value && !known.includes(range.value)) known.unshift(range.value); // zoomed
  return (
    <select
      aria-label={t('range')}
      value={String(range.value)}
      onChange={(e) => (range.value = Number(e.currentTarget.value))}
    >
      <option value="0">{t('rangeAuto')}</option>
      {known.map((s) => (
        <option key={s} value={String(s)}>
          {duration(s)}
        </option>
      ))}
    </select>
  );
}

/** The ways to the views; the dead letters with their number. */
function Ways() {
  return (
    <nav aria-label={t('views')}>
      {views.map((v) => (
        <a key={v} href={addressOf(v)} aria-current={route.value.view === v ? 'page' : undefined}>
          {t(v)}
          {v === 'letters' && !!letters.value?.total && <span class="badge">{count(letters.value.total)}</span>}
        </a>
      ))}
    </nav>
  );
}

/** Moves the focus; the address stays that of the view. */
function toContent(e: Event): void {
  e.preventDefault();
  document.getElementById('content')?.focus();
}

/** What can be chosen of the charts. */
function Choices() {
  return (
    <>
      <input
        id="filter"
        type="search"
        aria-label={t('filter')}
        placeholder={t('filter')}
        value={filter.value}
        onInput={(e) => (filter.value = e.currentTarget.value)}
      />
      <Range />
    </>
  );
}

/** The ways to the dialogs, and to the other language. */
function Menus() {
  return (
    <div class="menus">
      <button type="button" lang={lang.value === 'en' ? 'ko' : 'en'} onClick={otherLanguage}>
        {t('language')}
      </button>
      <button type="button" class="icon" aria-haspopup="dialog" aria-label={t('settings')} title={t('settings')} onClick={() => (dialog.value = 'settings')}>
        <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
          <path d="M1 4h5M10 4h5M1 12h3M8 12h7M8 2v4M6 10v4" />
        </svg>
      </button>
      <button type="button" class="icon" aria-haspopup="dialog" aria-label={t('keys')} title={t('keys')} onClick={() => (dialog.value = 'keys')}>
        ?
      </button>
    </div>
  );
}

function Header() {
  void beat.value;
  return (
    <header class="bar">
      <a class="skip" href="#content" onClick={toContent}>
        {t('skip')}
      </a>
      <h1>
        <svg viewBox="0 0 24 16" width="24" height="16" aria-hidden="true">
          <path d="M1 5q4-5 7.500 0t7.500 0 7-1M1 12q4-5 7.500 0t7.500 0 7-1" />
        </svg>
        Millrace
      </h1>
      <span class="pipeline" title={store.hello?.version}>
        {store.hello?.pipeline}
      </span>
      <StateChip />
      <Ways />
      <Throughput />
      {route.value.view === 'charts' && <Choices />}
      <Menus />
    </header>
  );
}

const shown: Record<View, ComponentType> = {
  charts: ChartsInTime,
  graph: lazy(() => import('./graph/graph').then((m) => m.GraphView)),
  letters: lazy(() => import('./letters/letters').then((m) => m.LettersView)),
};

export function App() {
  useEffect(announceStates, []);
  useEffect(announceLetters, []);
  const Shown = shown[route.value.view];
  return (
    <>
      <Header />
      <main id="content" tabIndex={-1} aria-label={t(route.value.view)} class={connection.value === 'live' ? '' : 'away'}>
        <Notices />
        <Shown />
      </main>
      <Dialogs />
      <Announcements />
    </>
  );
}
