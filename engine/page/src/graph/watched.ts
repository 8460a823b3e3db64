import { computed, effect, signal } from '@preact/signals';
import { graph, stats } from '../live/topics';
import { keep, route } from '../route';
import { items, Rates, type EdgeItem, type NodeItem, type Stats } from './model';

const rates = new Rates();
const newest = signal<Stats | undefined>(undefined);

effect(() => {
  const s = stats.value as Stats | undefined;
  if (!s?.nodes) return;
  rates.take(s);
  newest.value = s;
});

/** When the figures that are shown were taken, by the engine's clock, ms. */
export const takenAt = computed(() => Date.parse(newest.value?.time ?? ''));

/** Everything that is shown, with its figures. */
export const shown = computed(() => {
  const g = graph.value;
  return g ? items(g, newest.value, rates) : { nodes: [], edges: [] };
});

/** What is looked for, kept while the page is. */
export const sought = signal('');

/** Whether an item is among what is looked for. */
export function matches(i: NodeItem | EdgeItem): boolean {
  const text = sought.value.trim().toLowerCase();
  const all = 'id' in i ? [i.id, i.kind, i.type, i.stage] : [i.from, i.to, i.stream];
  return !text || all.some((s) => s.toLowerCase().includes(text));
}

/** The key of what is selected, '' for nothing. It is part of the address. */
export const selected = computed(() => (route.value.view === 'graph' ? (route.value.settings.get('sel') ?? '') : ''));

/** Selects; what is selected already is let go. */
export function select(key: string): void {
  keep({ sel: key === '' || key === selected.value ? undefined : key });
}

export const asTable = computed(() => route.value.settings.get('as') === 'table');

export function showAs(table: boolean): void {
  keep({ as: table ? 'table' : undefined });
}
