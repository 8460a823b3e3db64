import { useEffect, useRef } from 'preact/hooks';
import { zone } from '../format';
import { paint } from '../frame/theme';
import { duration, t } from '../i18n';
import type { Chart } from '../live/store';
import { dark, edge, span } from '../state';
import { painter } from './painter';
import { Plot } from './plot';
import { held } from './time';

/** The time at the right edge of chart: as held, else now, or its newest point if that is long ago. */
export function rightOf(chart: Chart): number {
  if (held.value !== undefined) return held.value;
  const newest = newestOf(chart);
  return newest < edge() - chart.windowMs ? newest : Math.max(edge(), newest || 0);
}

/** The time of the newest point of chart, ms; NaN if there is none. */
export function newestOf(chart: Chart): number {
  let newest = NaN;
  for (const l of chart.lines) if (!(l.column.newest <= newest)) newest = l.column.newest || newest;
  return newest;
}

/** The time that chart shows, ms. */
export function spanOf(chart: Chart): number {
  return held.value === undefined ? Math.min(span(), chart.windowMs) : span();
}

/** Draws the chart's plot whenever there is something new, while it is in view. */
function usePlot(chart: Chart, hover: { value: number }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const el = host.current;
    if (!el) return;
    const plot = new Plot(el, chart, dark.value, (at) => (hover.value = at));
    const end = follow(el, plot, chart);
    return () => {
      end();
      plot.destroy();
    };
  }, [chart, chart.structure, paint.value, zone.value]);
  return host;
}

/** Draws plot again and again while it is in view, until the result is called. */
function follow(el: HTMLElement, plot: Plot, chart: Chart): () => void {
  let visible = true;
  const end = painter.add((whole) => visible && plot.draw(rightOf(chart), spanOf(chart), whole));
  const seen = new IntersectionObserver((es) => (visible = es.at(-1)?.isIntersecting ?? true));
  const sized = new ResizeObserver(() => plot.resize(el.clientWidth, el.clientHeight));
  seen.observe(el);
  sized.observe(el);
  return () => {
    end();
    seen.disconnect();
    sized.disconnect();
  };
}

/** The plot of one chart. */
export function PlotBox({ chart, hover }: { chart: Chart; hover: { value: number } }) {
  const host = usePlot(chart, hover);
  const label = t('chartLabel', { title: chart.title, n: chart.lines.length, window: duration(spanOf(chart)) });
  return <div class="plot" ref={host} role="group" tabIndex={0} aria-label={label} />;
}
