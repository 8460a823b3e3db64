import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { look } from './colors';
import { clock, digits, number, stamp } from '../format';
import { duration, t } from '../i18n';
import { Plot } from './plot';
import { beat, dark, edge, now, span } from '../state';
import { held } from './time';
import type { Chart, Line } from '../live/store';

const rowsShown = 50;
const quiet = 90_000; // ms without a value after which a card says so
const leastPause = 33; // ms between two drawings of a chart

/** The time at the right edge of chart: as held, else now, or its newest point if that is long ago. */
function rightOf(chart: Chart): number {
  if (held.value !== undefined) return held.value;
  const newest = newestOf(chart);
  return newest < edge() - chart.windowMs ? newest : Math.max(edge(), newest || 0);
}

function newestOf(chart: Chart): number {
  let newest = NaN;
  for (const l of chart.lines) if (!(l.column.newest <= newest)) newest = l.column.newest || newest;
  return newest;
}

interface Row {
  line: Line;
  value: string;
  min: string;
  max: string;
}

/** The time that chart shows, ms. */
function spanOf(chart: Chart): number {
  return Math.min(span(), chart.windowMs);
}

function rowsOf(chart: Chart, right: number, hover: number): Row[] {
  const from = right - spanOf(chart);
  return chart.lines.map((line) => {
    const extent = line.column.extent(from, right);
    const shown = Number.isNaN(hover) ? line.column.last() : line.column.nearest(hover);
    const values = [shown?.v, extent?.[0], extent?.[1]];
    const own = Math.max(...values.map((v) => (v === undefined ? 0 : digits(v))));
    const width = extent ? extent[1] - extent[0] : 0;
    const [value, min, max] = values.map((v) => (v === undefined ? '–' : number(v, chart.decimals, width, own)));
    return { line, value: value as string, min: min as string, max: max as string };
  });
}

/** The unit of all lines, "" if they differ. */
function commonUnit(chart: Chart): string {
  const first = chart.lines[0]?.unit ?? '';
  return chart.lines.every((l) => l.unit === first) ? first : '';
}

function Swatch({ index }: { index: number }) {
  const { color, dash } = look(index, dark.value);
  return (
    <svg class="swatch" width="16" height="4" aria-hidden="true">
      <line x1="0" y1="2" x2="16" y2="2" stroke={color} stroke-width="3" stroke-dasharray={dash.join(' ')} />
    </svg>
  );
}

function Legend({ chart, hover, right }: { chart: Chart; hover: number; right: number }) {
  const unit = commonUnit(chart);
  return (
    <table class="legend">
      <thead>
        <tr>
          <th scope="col">{t('series')}</th>
          <th scope="col">{Number.isNaN(hover) ? t('last') : clock(hover)}</th>
          <th scope="col">{t('min')}</th>
          <th scope="col">{t('max')}</th>
        </tr>
      </thead>
      <tbody>
        {rowsOf(chart, right, hover).map((r) => (
          <tr key={r.line.key}>
            <th scope="row" title={r.line.key}>
              <Swatch index={r.line.index} />
              <span class="key">{r.line.key || chart.title}</span>
              {unit === '' && r.line.unit !== '' && <span class="unit"> {r.line.unit}</span>}
            </th>
            <td class="last">{r.value}</td>
            <td>{r.min}</td>
            <td>{r.max}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

interface Value {
  t: number;
  v: number;
  line: Line;
}

function newestValues(chart: Chart, n: number): Value[] {
  const out: Value[] = [];
  for (const line of chart.lines) {
    const c = line.column;
    for (let i = c.length - 1, taken = 0; i >= 0 && taken < n; i--) {
      if (Number.isNaN(c.value(i))) continue;
      out.push({ t: c.time(i), v: c.value(i), line });
      taken++;
    }
  }
  return out.sort((a, b) => b.t - a.t).slice(0, n);
}

/** The newest values as a table, built only while it is open. */
function Values({ chart }: { chart: Chart }) {
  const open = useSignal(false);
  return (
    <details class="values" onToggle={(e) => (open.value = (e.currentTarget as HTMLDetailsElement).open)}>
      <summary>{t('table')}</summary>
      {open.value && (
        <div class="scroll" tabIndex={0} role="region" aria-label={`${chart.title}: ${t('table')}`}>
          <table>
            <caption>{t('newestFirst', { n: rowsShown })}</caption>
            <thead>
              <tr>
                <th scope="col">{t('time')}</th>
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
        </div>
      )}
    </details>
  );
}

/** Draws the chart's plot whenever there is something new, while it is in view. */
function usePlot(chart: Chart, hover: { value: number }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const el = host.current;
    if (!el) return;
    const plot = new Plot(el, chart, dark.value, (at) => (hover.value = at));
    let visible = true;
    let frame = 0;
    let drawn = 0;
    const loop = (now: number): void => {
      frame = requestAnimationFrame(loop);
      if (!visible || now - drawn < leastPause) return;
      drawn = now;
      plot.draw(rightOf(chart), spanOf(chart));
    };
    frame = requestAnimationFrame(loop);
    const seen = new IntersectionObserver((es) => (visible = es.at(-1)?.isIntersecting ?? true));
    const sized = new ResizeObserver(() => plot.resize(el.clientWidth, el.clientHeight));
    seen.observe(el);
    sized.observe(el);
    return () => {
      cancelAnimationFrame(frame);
      seen.disconnect();
      sized.disconnect();
      plot.destroy();
    };
  }, [chart, chart.structure, dark.value]);
  return host;
}

/** One chart with its legend and its values. */
export function Card({ chart }: { chart: Chart }) {
  void beat.value; // numbers are refreshed with it
  const hover = useSignal(NaN);
  const host = usePlot(chart, hover);
  const right = rightOf(chart);
  const age = now() - newestOf(chart);
  const label = t('chartLabel', { title: chart.title, n: chart.lines.length, window: duration(spanOf(chart)) });
  return (
    <article class="card" data-chart={chart.id}>
      <header>
        <h3 title={chart.id}>{chart.title}</h3>
        <span class="unit">{commonUnit(chart)}</span>
        {held.value === undefined && age > quiet && <span class="quiet">{t('noRecent', { age: duration(age) })}</span>}
      </header>
      <div class="plot" ref={host} role="img" aria-label={label} />
      <Legend chart={chart} hover={hover.value} right={right} />
      <Values chart={chart} />
    </article>
  );
}
