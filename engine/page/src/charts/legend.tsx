import { useSignal } from '@preact/signals';
import './legend.css';
import { look } from './colors';
import { clock, digits, number, zoneName } from '../format';
import { change, hiddenLines, nameOf } from '../frame/layout';
import { t } from '../i18n';
import { columnOf, type Chart, type Line } from '../live/store';
import { beat, dark } from '../state';
import { held } from './time';

const searchFrom = 9; // lines that a chart must have for a search box

interface Row {
  line: Line;
  value: string;
  min: string;
  max: string;
}

/** What the legend shows of a time, ms. */
interface View {
  from: number;
  right: number;
  hover: number; // NaN: the newest values
}

function rowOf(chart: Chart, line: Line, { from, right, hover }: View): Row {
  const column = columnOf(line);
  const extent = column.extent(from, right);
  const shown = Number.isNaN(hover) ? column.last(held.value) : column.nearest(hover);
  const values = [shown?.v, extent?.[0], extent?.[1]];
  const own = Math.max(...values.map((v) => (v === undefined ? 0 : digits(v))));
  const width = extent ? extent[1] - extent[0] : 0;
  const [value, min, max] = values.map((v) => (v === undefined ? '–' : number(v, chart.decimals, width, own)));
  return { line, value: value as string, min: min as string, max: max as string };
}

/** The unit of all lines, "" if they differ. */
export function commonUnit(chart: Chart): string {
  const first = chart.lines[0]?.unit ?? '';
  return chart.lines.every((l) => l.unit === first) ? first : '';
}

/** Draws and counts a chart's lines, or not. */
function show(chart: Chart, shown: (l: Line) => boolean): void {
  const names = new Set(hiddenLines.value);
  for (const l of chart.lines) {
    if (shown(l)) names.delete(nameOf(chart.id, l.key));
    else names.add(nameOf(chart.id, l.key));
  }
  change('lines', names);
}

function toggle(chart: Chart, line: Line): void {
  show(chart, (l) => (l === line ? l.hidden : !l.hidden));
}

/** Shows this line alone, or all if it is alone already. */
function isolate(chart: Chart, line: Line): void {
  const alone = chart.lines.every((l) => l.hidden === (l !== line));
  show(chart, (l) => alone || l === line);
}

function clicked(e: MouseEvent, chart: Chart, line: Line): void {
  if (e.altKey || e.detail === 2) isolate(chart, line);
  else toggle(chart, line);
}

function Swatch({ index }: { index: number }) {
  const { color, dash } = look(index, dark.value);
  return (
    <svg class="swatch" width="16" height="4" aria-hidden="true">
      <line x1="0" y1="2" x2="16" y2="2" stroke={color} stroke-width="3" stroke-dasharray={dash.join(' ')} />
    </svg>
  );
}

function Name({ chart, line, unit, hidden }: { chart: Chart; line: Line; unit: string; hidden: boolean }) {
  const key = line.key || chart.title;
  return (
    <th scope="row">
      <div>
        <button type="button" class="line" aria-pressed={!hidden} title={key} onClick={(e) => clicked(e, chart, line)}>
          <Swatch index={line.index} />
          <span class="key">{key}</span>
          {unit && <span class="unit"> {unit}</span>}
        </button>
        {chart.lines.length > 1 && (
          <button type="button" class="only" aria-label={t('onlyLine', { line: key })} title={t('only')} onClick={() => isolate(chart, line)}>
            <svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">
              <circle cx="6" cy="6" r="4.500" />
              <circle cx="6" cy="6" r="1.500" />
            </svg>
          </button>
        )}
      </div>
    </th>
  );
}

/** The search box of a long legend, and the way back to all lines. */
function Sieve({ chart, search }: { chart: Chart; search: { value: string } }) {
  void beat.value;
  const hidden = chart.lines.filter((l) => l.hidden).length;
  if (chart.lines.length < searchFrom && !hidden) return null;
  return (
    <div class="sieve">
      {chart.lines.length >= searchFrom && (
        <input
          type="search"
          placeholder={t('findLine')}
          aria-label={`${chart.title}: ${t('findLine')}`}
          value={search.value}
          onInput={(e) => (search.value = e.currentTarget.value)}
        />
      )}
      {hidden > 0 && (
        <button type="button" onClick={() => show(chart, () => true)}>
          {t('showAll', { n: hidden })}
        </button>
      )}
    </div>
  );
}

function Head({ hover }: { hover: number }) {
  const pointed = !Number.isNaN(hover);
  return (
    <thead>
      <tr>
        <th scope="col">{t('series')}</th>
        <th scope="col" title={pointed ? zoneName(hover) : undefined}>
          {pointed ? clock(hover) : t('last')}
        </th>
        <th scope="col">{t('min')}</th>
        <th scope="col">{t('max')}</th>
      </tr>
    </thead>
  );
}

/** The lines of a chart with their values; a click hides a line or shows it again. */
export function Legend({ chart, ...view }: { chart: Chart } & View) {
  void hiddenLines.value;
  const search = useSignal('');
  const want = search.value.trim().toLowerCase();
  const lines = chart.lines.filter((l) => l.key.toLowerCase().includes(want));
  const common = commonUnit(chart) !== '';
  return (
    <div class="lines">
      <Sieve chart={chart} search={search} />
      <div class="scroll">
        <table class="legend">
          <Head hover={view.hover} />
          <tbody>
            {lines.map((line) => {
              const r = rowOf(chart, line, view);
              return (
                <tr key={line.key} class={line.hidden ? 'off' : ''}>
                  <Name chart={chart} line={line} unit={common ? '' : line.unit} hidden={line.hidden} />
                  <td class="last">{r.value}</td>
                  <td>{r.min}</td>
                  <td>{r.max}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
        {!lines.length && <p class="none">{t('noLine', { text: search.value })}</p>}
      </div>
    </div>
  );
}
