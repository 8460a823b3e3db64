import type { ComponentType } from 'preact';
import { useRef } from 'preact/hooks';
import { range } from './charts/time';
import { count } from './format';
import { choose, duration, lang, t } from './i18n';
import { ChartsInTime } from './intime';
import { lazy } from './lazy';
import { letters } from './live/topics';
import { addressOf, route, views, type View } from './route';
import { beat, chip, connection, filter, longest, lost, Rate, silentFor, spans, store } from './state';

function Chip() {
  void beat.value;
  const state = chip();
  const hint = state === 'stale' ? (store.logAway ? t('logAway') : t('staleHint', { seconds: silentFor() })) : undefined;
  return (
    <span class={`chip ${state}`} role="status" aria-label={`${t('stateLabel')}: ${t(state)}`} title={hint} data-state={state}>
      <i aria-hidden="true" />
      {t(state)}
    </span>
  );
}

function Throughput() {
  void beat.value;
  const rate = useRef(new Rate());
  const perSecond = rate.current.measure(store.points, Date.now());
  return <span class="rate">{t('perSecond', { n: count(perSecond) })}</span>;
}

function Range() {
  void beat.value;
  return (
    <select
      aria-label={t('range')}
      value={String(range.value)}
      onChange={(e) => (range.value = Number(e.currentTarget.value))}
    >
      <option value="0">{t('rangeAuto')}</option>
      {spans
        .filter((s) => s <= longest())
        .map((s) => (
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

function Header() {
  void beat.value;
  const other = lang.value === 'en' ? 'ko' : 'en';
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
      <span class="pipeline">{store.hello?.pipeline}</span>
      <Chip />
      <Ways />
      <Throughput />
      {route.value.view === 'charts' && <Choices />}
      <button type="button" lang={other} onClick={() => choose(other)}>
        {t('language')}
      </button>
      <span class="version">{store.hello?.version}</span>
    </header>
  );
}

function Notices() {
  void beat.value;
  return (
    <>
      {store.hello?.embedded && <p class="notice">{t('embedded')}</p>}
      {store.missed > 0 && <p class="notice warn">{t('missed', { n: count(store.missed) })}</p>}
      {lost() && (
        <div class="notice warn" role="alert">
          <strong>{t('lostTitle')}</strong> {t('lostText')}
        </div>
      )}
    </>
  );
}

const shown: Record<View, ComponentType> = {
  charts: ChartsInTime,
  graph: lazy(() => import('./graph/graph').then((m) => m.GraphView)),
  letters: lazy(() => import('./letters/letters').then((m) => m.LettersView)),
};

export function App() {
  const Shown = shown[route.value.view];
  return (
    <>
      <Header />
      <main id="content" tabIndex={-1} aria-label={t(route.value.view)} class={connection.value === 'live' ? '' : 'away'}>
        <Notices />
        <Shown />
      </main>
    </>
  );
}
