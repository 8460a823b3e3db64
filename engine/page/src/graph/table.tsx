import { useSignal } from '@preact/signals';
import { rate, total, wait } from './figures';
import { kindOf } from './drawing';
import { pressures, type EdgeItem, type NodeItem } from './model';
import { matches, select, selected, shown } from './watched';
import { t } from './words';

type Word = Parameters<typeof t>[0];

interface Column<T> {
  name: Word;
  number?: boolean;
  show: (i: T) => string;
  sort: (i: T) => string | number;
}

const word = <T,>(name: Word, show: (i: T) => string): Column<T> => ({ name, show, sort: show });
const figure = <T,>(name: Word, of: (i: T) => number | undefined, show: (v: number | undefined) => string): Column<T> => ({
  name, number: true, show: (i) => show(of(i)), sort: (i) => of(i) ?? -1,
});
const flow: Column<NodeItem | EdgeItem> = { name: 'flow', show: (i) => t(i.pressure), sort: (i) => -pressures.indexOf(i.pressure) };

const nodeColumns: Column<NodeItem>[] = [
  word('name', (n) => n.id),
  word('kind', kindOf),
  word('type', (n) => n.type),
  word('stageName', (n) => n.stage),
  flow,
  figure('inRate', (n) => n.in, rate),
  figure('outRate', (n) => n.out, rate),
  figure('lagEvents', (n) => n.lag?.events, total),
  figure('lagSeconds', (n) => n.lag?.seconds, wait),
  figure('rejected', (n) => n.counted.rejected, total),
  figure('retries', (n) => n.counted.retries, total),
  figure('dead', (n) => n.counted.dead_letters, total),
  word('program', (n) => n.counted.plugin?.runs ?? ''),
];

const edgeColumns: Column<EdgeItem>[] = [
  word('name', (e) => e.name),
  word('stream', (e) => e.stream),
  flow,
  figure('rate', (e) => e.out, rate),
  figure('lagEvents', (e) => e.lag?.events, total),
  figure('lagSeconds', (e) => e.lag?.seconds, wait),
];

/** All that the drawing shows, as two tables. */
export function Tables() {
  const { nodes, edges } = shown.value;
  return (
    <>
      <Table title={t('nodes')} columns={nodeColumns} items={nodes.filter(matches)} />
      <Table title={t('edges')} columns={edgeColumns} items={edges.filter(matches)} />
    </>
  );
}

function Table<T extends NodeItem | EdgeItem>({ title, columns, items }: { title: string; columns: Column<T>[]; items: T[] }) {
  const by = useSignal({ column: -1, down: false });
  const column = columns[by.value.column];
  const rows = column ? [...items].sort((a, b) => compare(column.sort(a), column.sort(b)) * (by.value.down ? -1 : 1)) : items;
  const turn = (i: number): void => {
    const first = !!columns[i]?.number; // figures begin with the largest
    by.value = by.value.column === i ? { column: i, down: !by.value.down } : { column: i, down: first };
  };
  return (
    <div class="g-table" tabIndex={0} role="region" aria-label={title}>
      <table>
        <caption>{title}</caption>
        <thead>
          <tr>
            {columns.map((c, i) => (
              <th key={c.name} scope="col" class={c.number ? 'number' : ''} aria-sort={by.value.column !== i ? 'none' : by.value.down ? 'descending' : 'ascending'}>
                <button type="button" title={t('sortBy', { column: t(c.name) })} onClick={() => turn(i)}>
                  {t(c.name)}
                  <span aria-hidden="true">{by.value.column !== i ? '' : by.value.down ? '▾' : '▴'}</span>
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((item) => (
            <tr key={item.key} class={item.key === selected.value ? 'chosen' : ''} data-key={item.key} data-pressure={item.pressure}>
              {columns.map((c, i) => (i === 0 ? <Name key={c.name} item={item} /> : <td key={c.name} class={`${c.number ? 'number' : ''}${c.name === 'flow' ? ' state' : ''}`}>{c.show(item)}</td>))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Name({ item }: { item: NodeItem | EdgeItem }) {
  return (
    <th scope="row">
      <button type="button" aria-pressed={item.key === selected.value} onClick={() => select(item.key)}>
        {item.name}
      </button>
    </th>
  );
}

function compare(a: string | number, b: string | number): number {
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b));
}
