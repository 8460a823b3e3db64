import { hiddenCharts, nameOf, order } from '../frame/layout';
import { t } from '../i18n';
import type { Chart } from '../live/store';
import { past } from '../past';
import { beat, connection, filter, store } from '../state';
import { Card } from './card';
import { handling } from './handling';
import { arrange, hide } from './order';

function Empty() {
  if (connection.value === 'refused') return null; // a notice says why
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

function matching(charts: readonly Chart[], text: string): readonly Chart[] {
  const want = text.trim().toLowerCase();
  if (!want) return charts;
  return charts.filter((c) => [c.title, c.group, ...c.lines.map((l) => l.key)].some((s) => s.toLowerCase().includes(want)));
}

/** The charts that are hidden, each a way to have it back. */
function Hidden({ charts }: { charts: readonly Chart[] }) {
  if (!charts.length) return null;
  return (
    <section class="hidden-charts" aria-label={t('hiddenCharts')}>
      <span>{t('hiddenCharts')}</span>
      {charts.map((c) => (
        <button key={c.id} type="button" data-name={nameOf(c.id)} aria-label={t('showChart', { title: c.title })} onClick={() => hide(c, false)}>
          {c.title}
        </button>
      ))}
    </section>
  );
}

function Group({ name, charts }: { name: string; charts: Chart[] }) {
  return (
    <section>
      <h2>{name}</h2>
      <div class="grid">
        {arrange(charts, order.value).map((c) => (
          <Card key={c.id} chart={c} />
        ))}
      </div>
    </section>
  );
}

/** All charts, in groups. */
export function Charts() {
  void beat.value;
  const charts = past.value?.charts ?? store.charts;
  const Controls = handling.value?.Controls;
  if (!charts.length) return <Empty />;
  const found = matching(charts, filter.value);
  const isHidden = (c: Chart): boolean => hiddenCharts.value.has(nameOf(c.id));
  const shown = found.filter((c) => !isHidden(c));
  const groups = [...new Set(shown.map((c) => c.group))];
  return (
    <>
      <div class="handling">{Controls && !past.value && <Controls />}</div>
      {!found.length && <p class="empty">{t('noMatch', { text: filter.value })}</p>}
      {groups.map((group) => (
        <Group key={group} name={group} charts={shown.filter((c) => c.group === group)} />
      ))}
      <Hidden charts={charts.filter(isHidden)} />
    </>
  );
}
