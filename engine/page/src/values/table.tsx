import { stamp, zoneName } from '../format';
import type { Chart, Line } from '../live/store';
import { beat } from '../state';
import './values.css';
import { t } from './words';

const rowsShown = 50;

interface Value {
  t: number;
  v: number;
  line: Line;
}

function newestValues(chart: Chart, n: number): Value[] {
  const out: Value[] = [];
  for (const line of chart.lines) {
    if (line.hidden) continue;
    const c = line.column;
    for (let i = c.length - 1, taken = 0; i >= 0 && taken < n; i--) {
      if (Number.isNaN(c.value(i))) continue;
      out.push({ t: c.time(i), v: c.value(i), line });
      taken++;
    }
  }
  return out.sort((a, b) => b.t - a.t).slice(0, n);
}

/** The newest values of the lines that are drawn. */
export function Table({ chart }: { chart: Chart }) {
  void beat.value;
  return (
    <table>
      <caption>{t('newestFirst', { n: rowsShown })}</caption>
      <thead>
        <tr>
          <th scope="col">
            {t('time')} ({zoneName()})
          </th>
          <th scope="col">{t('series')}</th>
          <th scope="col">{t('value')}</th>
          <th scope="col">{t('unit')}</th>
        </tr>
      </thead>
      <tbody>
        {newestValues(chart, rowsShown).map((r, i) => (
          <tr key={i}>
            <td>{stamp(r.t)}</td>
            <td>{r.line.key}</td>
            <td class="number">{String(r.v)}</td>
            <td>{r.line.unit}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
