import { clock } from '../format';
import { graph } from '../live/topics';
import { connection } from '../state';
import { Drawing } from './drawing';
import './graph.css';
import { Legend } from './legend';
import { Panel } from './panel';
import { Tables } from './table';
import { asTable, matches, selected, showAs, shown, sought, takenAt } from './watched';
import { t } from './words';

/** The pipeline as a graph or as tables, and details of what is selected in them. */
export function GraphView() {
  const g = graph.value;
  if (!g) return <p class="empty">{t('nothing')}</p>;
  if (!g.nodes.length) return <p class="empty">{t('empty')}</p>;
  return (
    <section class="graph" aria-label={t('title')}>
      <Tools />
      {connection.value !== 'live' && !Number.isNaN(takenAt.value) && <p class="notice warn" role="status">{t('asOf', { time: clock(takenAt.value) })}</p>}
      <div class={`g-both${selected.value ? ' open' : ''}`}>
        <div class="g-main">
          <Found />
          {asTable.value ? <Tables /> : <Drawing />}
          <Legend />
        </div>
        <Panel key={selected.value} />
      </div>
    </section>
  );
}

function Tools() {
  return (
    <div class="g-tools">
      <div role="group" aria-label={t('shownAs')} class="g-switch">
        <button type="button" aria-pressed={!asTable.value} onClick={() => showAs(false)}>{t('asGraph')}</button>
        <button type="button" aria-pressed={asTable.value} onClick={() => showAs(true)}>{t('asTable')}</button>
      </div>
      <input type="search" aria-label={t('find')} placeholder={t('find')} value={sought.value} onInput={(e) => (sought.value = e.currentTarget.value)} />
      {!asTable.value && <span class="g-hint">{t('hint')}</span>}
    </div>
  );
}

function Found() {
  const { nodes, edges } = shown.value;
  const any = nodes.some(matches) || edges.some(matches);
  return <p role="status" class={any ? 'g-silent' : 'notice'}>{any ? '' : t('noMatch', { text: sought.value })}</p>;
}
