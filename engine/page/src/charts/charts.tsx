import { t } from '../i18n';
import type { Chart } from '../live/store';
import { past } from '../past';
import { beat, connection, filter, store } from '../state';
import { Card } from './card';

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

function matching(text: string): readonly Chart[] {
  const want = text.trim().toLowerCase();
  const all = past.value?.charts ?? store.charts;
  if (!want) return all;
  return all.filter((c) =>
    [c.title, c.group, ...c.lines.map((l) => l.key)].some((s) => s.toLowerCase().includes(want)),
  );
}

/** All charts, in groups. */
export function Charts() {
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
