import { computed, effect, signal, type Signal } from '@preact/signals';
import { keep, route, type Route } from '../route';

/** How much room a chart takes: one place, two beside each other, twice as high, a whole row. */
export const sizes = ['small', 'wide', 'tall', 'full'] as const;
export type Size = (typeof sizes)[number];
export const themes = ['auto', 'light', 'dark', 'contrast'] as const;
export type Theme = (typeof themes)[number];

const mostNames = 1000; // in one field
const remembered = 'millrace.layout';
const name = /^[0-9a-z]{1,7}$/;
const sized = /^[wtf][0-9a-z]{1,7}$/;

/** What each part of the layout may be; anything else becomes "", its default. */
const fields = {
  order: list(name),
  size: list(sized),
  hide: list(name),
  lines: list(name),
  lang: oneOf('en', 'ko'),
  tz: oneOf('local', 'utc', 'server'),
  theme: oneOf(...themes),
};
export type Field = keyof typeof fields;
const all = Object.keys(fields) as Field[];

function oneOf(...values: string[]): (text: string) => string {
  return (text) => (values.includes(text) ? text : '');
}

function list(item: RegExp): (text: string) => string {
  return (text) => [...new Set(text.split('.'))].filter((s) => item.test(s)).slice(0, mostNames).join('.');
}

/** What text says of a field, "" if it makes no sense. */
export function tidy(field: Field, text: string): string {
  return fields[field](text);
}

const values = Object.fromEntries(all.map((f) => [f, signal('')])) as Record<Field, Signal<string>>;
const items = (f: Field): string[] => (values[f].value ? values[f].value.split('.') : []);

/** Names of charts in the order in which they were put. */
export const order = computed(() => items('order'));
/** Names of charts that are not shown. */
export const hiddenCharts = computed(() => new Set(items('hide')));
/** Names of lines that are not drawn. */
export const hiddenLines = computed(() => new Set(items('lines')));
/** What was chosen, "" if nothing was. */
export const chosenLang = computed(() => values.lang.value);
export const chosenZone = computed(() => values.tz.value);
export const theme = computed(() => (values.theme.value || 'auto') as Theme);

/** The size of the chart with this name. */
export function sizeOf(chart: string): Size {
  const entry = items('size').find((s) => s.slice(1) === chart);
  return sizes.find((s) => s[0] === entry?.[0]) ?? 'small';
}

const names = new Map<string, string>();

/**
 * The short name of a chart, or of one of its lines, in a layout: a hash (FNV-1a, 32
 * bits, base 36), so that a link stays short and tells no names.
 */
export function nameOf(chart: string, line?: string): string {
  const text = line === undefined ? chart : `${chart}\0${line}`;
  const known = names.get(text);
  if (known) return known;
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  names.set(text, hash.toString(36));
  return hash.toString(36);
}

/** Changes one part of the layout, and remembers it where the browser allows that. */
export function change(field: Field, to: Iterable<string> | string): void {
  values[field].value = tidy(field, typeof to === 'string' ? to : [...to].join('.'));
  const kept = stored();
  kept.set(field, values[field].value);
  store(kept);
}

/** Gives a chart another size. */
export function resize(chart: string, size: Size): void {
  const others = items('size').filter((s) => s.slice(1) !== chart);
  change('size', size === 'small' ? others : [...others, size[0] + chart]);
}

/** Forgets every choice. */
export function reset(): void {
  for (const f of all) values[f].value = '';
  store(new URLSearchParams());
}

function stored(): URLSearchParams {
  try {
    return new URLSearchParams(localStorage.getItem(remembered) ?? '');
  } catch {
    return new URLSearchParams();
  }
}

function store(layout: URLSearchParams): void {
  try {
    localStorage.setItem(remembered, layout.toString());
  } catch {
    // private windows may refuse; the layout then lasts as long as the page
  }
}

/** Takes over what settings say of the layout, and leaves the rest. */
export function adopt(settings: URLSearchParams): void {
  for (const f of all) {
    const said = settings.get(f);
    if (said !== null) values[f].value = tidy(f, said);
  }
}

/** Begins with what is remembered; from then on the address says it, and wins. */
export function followLayout(): void {
  adopt(stored());
  let seen: Route | undefined;
  effect(() => {
    if (route.value !== seen) adopt(route.value.settings);
    seen = route.value;
    const said = all.map((f) => [f, values[f].value || undefined] as const);
    if (said.some(([f, v]) => (route.value.settings.get(f) ?? undefined) !== v)) keep(Object.fromEntries(said));
  });
}
