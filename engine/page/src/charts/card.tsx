import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { zone, zoneName } from '../format';
import { nameOf, sizeOf } from '../frame/layout';
import { paint } from '../frame/theme';
import { duration, t } from '../i18n';
import { commonUnit, Legend } from './legend';
import { Plot } from './plot';
import { beat, dark, edge, now, span } from '../state';
import { held } from './time';
import { dropAt, Grip, Tools } from './tools';
import { Values } from './values';
import type { Chart } from '../live/store';

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

/** The time that chart shows, ms. */
function spanOf(chart: Chart): number {
  return Math.min(span(), chart.windowMs);
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
  }, [chart, chart.structure, paint.value, zone.value]);
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
    <article class="card" data-chart={chart.id} data-name={nameOf(chart.id)} data-size={sizeOf(nameOf(chart.id))} {...dropAt(chart)}>
      <header>
        <Grip chart={chart} />
        <h3 title={chart.id}>{chart.title}</h3>
        <span class="unit">{commonUnit(chart)}</span>
        {held.value === undefined && age > quiet && <span class="quiet">{t('noRecent', { age: duration(age) })}</span>}
        <span class="zone" title={t('zone')}>
          {zoneName(right)}
        </span>
        <Tools chart={chart} view={() => [rightOf(chart) - spanOf(chart), rightOf(chart)]} />
      </header>
      <div class="plot" ref={host} role="img" aria-label={label} />
      <Legend chart={chart} hover={hover.value} from={right - spanOf(chart)} right={right} />
      <Values chart={chart} />
    </article>
  );
}
