import { digits, number } from '../format';
import { duration, t } from '../i18n';
import { columnOf, type Chart, type Line } from '../live/store';
import { dark, now } from '../state';
import { look } from './colors';
import { levelOf, type Level } from './levels';
import { rightOf, spanOf } from './plotbox';
import { reduce } from './reduce';
import './tile.css';
import { held } from './time';
import { w } from './words';

const sparkPoints = 60;

/** The numbers of one line in the time shown. */
interface Facts {
  last: { t: number; v: number } | undefined;
  text: string;
  min: string;
  max: string;
  level: Level | undefined;
}

function factsOf(chart: Chart, line: Line): Facts {
  const right = rightOf(chart);
  const c = columnOf(line);
  const last = c.last(held.value);
  const extent = c.extent(right - spanOf(chart), right);
  const values = [last?.v, extent?.[0], extent?.[1]];
  const own = Math.max(...values.map((v) => (v === undefined ? 0 : digits(v))));
  const width = extent ? extent[1] - extent[0] : 0;
  const [text = '–', min = '–', max = '–'] = values.map((v) => (v === undefined ? '–' : number(v, chart.decimals, width, own)));
  return { last, text, min, max, level: last && levelOf(last.v, chart) };
}

/** How bad a value is: a shape, a word and a colour. */
function Badge({ level }: { level: Level | undefined }) {
  if (!level) return null;
  return (
    <span class={`level ${level.severity}`} title={level.label}>
      <i aria-hidden="true" />
      {w(level.severity)}
      {level.label && <span class="why"> {level.label}</span>}
    </span>
  );
}

/** The course of a line in the time shown, without axes. */
function Spark({ chart, line }: { chart: Chart; line: Line }) {
  const right = rightOf(chart);
  const span = spanOf(chart);
  const points = reduce(columnOf(line), right - span, right, span / sparkPoints);
  if (points.length < 2) return <svg class="spark" aria-hidden="true" />;
  const lo = Math.min(...points.map((p) => p.min));
  const hi = Math.max(...points.map((p) => p.max));
  const x = (at: number): string => ((100 * (at - right + span)) / span).toFixed(1);
  const y = (v: number): string => (hi > lo ? 22 - (20 * (v - lo)) / (hi - lo) : 12).toFixed(1);
  return (
    <svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      <path d={points.map((p, i) => `${i && !p.gap ? 'L' : 'M'}${x(p.t)} ${y(p.avg)}`).join('')} stroke={look(line.index, dark.value).color} />
    </svg>
  );
}

function Tile({ chart, line }: { chart: Chart; line: Line }) {
  const f = factsOf(chart, line);
  return (
    <li class={`tile ${f.level?.severity ?? ''}`}>
      <span class="key" title={line.key}>
        {line.key || chart.title}
      </span>
      <strong>
        {f.text}
        <span class="unit"> {line.unit}</span>
      </strong>
      <Badge level={f.level} />
      <Spark chart={chart} line={line} />
      <span class="extent">
        {t('min')} {f.min} · {t('max')} {f.max}
      </span>
    </li>
  );
}

/** The newest value of each line, large. */
export function Tiles({ chart }: { chart: Chart }) {
  return (
    <ul class="tiles">
      {chart.lines
        .filter((l) => !l.hidden)
        .map((l) => (
          <Tile key={l.key} chart={chart} line={l} />
        ))}
    </ul>
  );
}

function Row({ chart, line }: { chart: Chart; line: Line }) {
  const f = factsOf(chart, line);
  return (
    <tr>
      <th scope="row" title={line.key}>
        {line.key || chart.title}
      </th>
      <td class="last">
        {f.text} <span class="unit">{line.unit}</span>
      </td>
      <td>{f.min}</td>
      <td>{f.max}</td>
      <td>{f.last ? duration(Math.max(now() - f.last.t, 0)) : '–'}</td>
      <td>
        <Badge level={f.level} />
      </td>
    </tr>
  );
}

/** A row of numbers for each line. */
export function Numbers({ chart }: { chart: Chart }) {
  return (
    <div class="numbers" tabIndex={0} role="region" aria-label={chart.title}>
      <table>
        <thead>
          <tr>
            {[t('series'), t('last'), t('min'), t('max'), w('age'), w('state')].map((head) => (
              <th key={head} scope="col">
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {chart.lines
            .filter((l) => !l.hidden)
            .map((l) => (
              <Row key={l.key} chart={chart} line={l} />
            ))}
        </tbody>
      </table>
    </div>
  );
}
