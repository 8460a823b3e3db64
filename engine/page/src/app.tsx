import { useRef } from 'preact/hooks';
import { Card } from './card';
import { count } from './format';
import { choose, duration, lang, t } from './i18n';
import { beat, chip, chosenSpan, connection, filter, longest, lost, Rate, silentFor, spans, store } from './state';
import type { Chart } from './store';

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
      value={String(chosenSpan.value)}
      onChange={(e) => (chosenSpan.value = Number(e.currentTarget.value))}
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

function Header() {
  void beat.value;
  const other = lang.value === 'en' ? 'ko' : 'en';
  return (
    <header class="bar">
      <a class="skip" href="#charts">
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
      <Throughput />
      <input
        type="search"
        aria-label={t('filter')}
        placeholder={t('filter')}
        value={filter.value}
        onInput={(e) => (filter.value = e.currentTarget.value)}
      />
      <Range />
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

function Empty() {
  if (connection.value !== 'live') return <p class="empty">{t(connection.value)}…</p>;
  return (
    <div class="empty">
      <svg viewBox="0 0 120 40" width="120" height="40" aria-hidden="true">
        <path d="M2 30h28l8-18 12 26 10-32 9 24h49" />
      </svg>
      <h2>{t('emptyTitle')}</h2>
      <p>{t('emptyText')}</p>
    </div>
  );
}

function matching(text: string): Chart[] {
  const want = text.trim().toLowerCase();
  if (!want) return store.charts;
  return store.charts.filter((c) =>
    [c.title, c.group, ...c.lines.map((l) => l.key)].some((s) => s.toLowerCase().includes(want)),
  );
}

function Charts() {
  void beat.value;
  const shown = matching(filter.value);
  if (!store.charts.length) return <Empty />;
  if (!shown.length) return <p class="empty">{t('noMatch', { text: filter.value })}</p>;
  const groups = [...new Set(shown.map((c) => c.group))];
  return (
    <>
      {groups.map((group) => (
        <section key={group}>
          <h2>{group}</h2>
          <div class="grid">
            {shown
              .filter((c) => c.group === group)
              .map((c) => (
                <Card key={c.id} chart={c} />
              ))}
          </div>
        </section>
      ))}
    </>
  );
}

export function App() {
  return (
    <>
      <Header />
      <main id="charts" tabIndex={-1} aria-label={t('charts')} class={connection.value === 'live' ? '' : 'away'}>
        <Notices />
        <Charts />
      </main>
    </>
  );
}
