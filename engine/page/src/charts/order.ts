import { change, hiddenCharts, nameOf, order } from '../frame/layout';
import type { Chart } from '../live/store';
import { store } from '../state';

/** Charts as they were put in order, others behind them. */
export function arrange(charts: readonly Chart[], names: readonly string[]): Chart[] {
  const place = new Map(names.map((n, i) => [n, i]));
  const of = (c: Chart): number => place.get(nameOf(c.id)) ?? names.length;
  return [...charts].sort((a, b) => of(a) - of(b));
}

/** list with item where other is. */
export function putAt<T>(list: readonly T[], item: T, other: T): T[] {
  const rest = list.filter((x) => x !== item);
  rest.splice(list.indexOf(other), 0, item);
  return rest;
}

function groupOf(chart: Chart): Chart[] {
  return arrange(
    store.charts.filter((c) => c.group === chart.group),
    order.value,
  );
}

/** Puts a chart where another of its group is. */
export function move(chart: Chart, other: Chart): void {
  if (chart === other || chart.group !== other.group) return;
  const names = putAt(groupOf(chart), chart, other).map((c) => nameOf(c.id));
  change('order', [...names, ...order.value.filter((n) => !names.includes(n))]);
}

/** Where a chart is among those of its group that are shown, and how many those are. */
export function placeOf(chart: Chart): { place: number; of: Chart[] } {
  const of = groupOf(chart).filter((c) => !hiddenCharts.value.has(nameOf(c.id)));
  return { place: of.indexOf(chart), of };
}

/** Moves a chart by so many places among those that are shown; false if there is no such place. */
export function moveBy(chart: Chart, step: number): boolean {
  const { place, of } = placeOf(chart);
  const other = of[place + step];
  if (other) move(chart, other);
  return other !== undefined;
}

function focusLater(selector: string): void {
  requestAnimationFrame(() => document.querySelector<HTMLElement>(selector)?.focus());
}

/** Hides a chart, or shows it again; the focus goes to the way back. */
export function hide(chart: Chart, hidden: boolean): void {
  const names = new Set(hiddenCharts.value);
  if (hidden) names.add(nameOf(chart.id));
  else names.delete(nameOf(chart.id));
  change('hide', names);
  focusLater(hidden ? `.hidden-charts [data-name='${nameOf(chart.id)}']` : `.card[data-name='${nameOf(chart.id)}'] .more`);
}
