import { signal } from '@preact/signals';
import { edge, longest, now, span, store } from '../state';
import { columnOf } from '../live/store';
import { held, hold, range, release } from './time';
import { panned, zoomed, type Bounds, type View } from './zoom';

/** The range that was chosen before the view was zoomed, and the one since, ms. */
const zoom = signal<{ before: number; since: number } | undefined>(undefined);

/** Whether the range is one that was zoomed to, not chosen. */
export function isZoomed(): boolean {
  return zoom.value?.since === range.value;
}

/** What all charts show now. */
export function currentView(): View {
  return { right: edge(), span: span() };
}

/** What there is to show. */
export function bounds(): Bounds {
  let oldest = NaN;
  for (const c of store.charts) {
    for (const l of c.lines) if (!(columnOf(l).oldest >= oldest)) oldest = columnOf(l).oldest || oldest;
  }
  return { oldest, now: now(), longest: longest() };
}

/** Shows a view on all charts and lets them stand still with it. */
export function show(v: View): void {
  setSpan(v.span);
  hold(v.right);
}

function setSpan(ms: number): void {
  if (ms === span()) return; // moved, not zoomed: a range that grows goes on to
  const before = isZoomed() ? (zoom.value?.before ?? 0) : range.value;
  range.value = Math.round(ms);
  zoom.value = { before, since: range.value };
}

/** Zooms about the time at; charts that follow what comes go on doing so. */
export function zoomAbout(at: number, factor: number): void {
  if (held.value === undefined) setSpan(zoomed(currentView(), edge(), factor, bounds()).span);
  else show(zoomed(currentView(), at, factor, bounds()));
}

/** Moves the view by a share of what it shows. */
export function panBy(share: number): void {
  show(panned(currentView(), share * span(), bounds()));
}

/** Shows again what was shown before zooming, and follows what comes. */
export function reset(): void {
  if (isZoomed()) range.value = zoom.value?.before ?? 0;
  release();
}

/** Lets all charts stand still, or jump to now. */
export function togglePause(): void {
  if (held.value === undefined) hold(edge());
  else release();
}

/** Shows the time at in the middle. */
export function goTo(at: number): void {
  show({ right: Math.min(at + span() / 2, now()), span: span() });
}

const own = 'input, select, textarea, button, a, summary, [contenteditable], dialog, [role=dialog], [role=menu]';

const keys: Record<string, () => void> = {
  ' ': togglePause,
  ArrowLeft: () => panBy(-0.1),
  ArrowRight: () => panBy(0.1),
  '+': () => zoomAbout(edge(), 0.5),
  '=': () => zoomAbout(edge(), 0.5),
  '-': () => zoomAbout(edge(), 2),
};

function pressed(e: KeyboardEvent): void {
  if (e.defaultPrevented || e.altKey || e.ctrlKey || e.metaKey || !(e.target instanceof Element)) return;
  if (e.key === 'Escape') {
    if (!e.target.closest(own) || e.target.closest('.time-controls, .plot')) reset(); // elsewhere it closes something
    return;
  }
  if (e.target.closest(own) || !Object.hasOwn(keys, e.key)) return;
  e.preventDefault();
  keys[e.key]?.();
}

/** Handles the keys of the charts until the result is called. Keys typed into a control are its own. */
export function followKeys(): () => void {
  document.addEventListener('keydown', pressed);
  return () => document.removeEventListener('keydown', pressed);
}
