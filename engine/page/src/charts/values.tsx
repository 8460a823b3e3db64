import { useSignal } from '@preact/signals';
import { stamp, zoneName } from '../format';
import { t } from '../i18n';
import type { Chart, Line } from '../live/store';

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

function Table({ chart }: { chart: Chart }) {
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

/** The newest values of the lines that are drawn as a table, built only while it is open. */
export function Values({ chart }: { chart: Chart }) {
  const open = useSignal(false);
  return (
    <details class="values" onToggle={(e) => (open.value = (e.currentTarget as HTMLDetailsElement).open)}>
      <summary>{t('table')}</summary>
      {open.value && (
        <div class="scroll" tabIndex={0} role="region" aria-label={`${chart.title}: ${t('table')}`}>
          <Table chart={chart} />
        </div>
      )}
    </details>
  );
}
