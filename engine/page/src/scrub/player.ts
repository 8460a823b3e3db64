import { batch, effect, signal } from '@preact/signals';
import { held, hold, release } from '../charts/time';
import { clock } from '../format';
import type { Chart } from '../live/store';
import { past } from '../past';
import { now, span } from '../state';
import { moved, played, stepOf, within, type Stretch } from './clock';
import { PastLog, lookBack, reach } from './log';
import { t } from './words';

/** Where what is played comes from: the log, or a replay. */
export interface Source {
  title: (at: number) => string; // for the tab
  charts: () => readonly Chart[];
  reach: () => Stretch;
  show: (at: number, speed: number) => void;
  limit: (at: number) => number; // up to here it can be played without waiting
  loaded: () => boolean;
  end: () => void;
  live: boolean; // its end is the live charts
}

/** How many times as fast as it was the past can be played. */
export const speeds = [1, 2, 5, 10, 20, 50, 100];

export const speed = signal(1);
export const playing = signal(false);
/** What is shown; undefined while charts are live. */
export const source = signal<Source | undefined>(undefined);
/** Whether what is to be shown is still being fetched. */
export const waiting = signal(false);

/** A time that was asked for and is not kept. */
export const gone = signal<number | undefined>(undefined);

const caught = 3000; // ms before now at which playing has caught up with it
const still = matchMedia('(prefers-reduced-motion: reduce)');

function logSource(): Source {
  const log = new PastLog();
  return {
    title: (at) => t('title', { time: clock(at) }),
    charts: () => log.charts,
    reach,
    show: (at, s) => log.show(at, s),
    limit: (at) => log.limit(at),
    loaded: () => log.loaded,
    end: () => log.end(),
    live: true,
  };
}

/** The stretch that the timeline shows. */
export function stretch(): Stretch {
  return source.value?.reach() ?? reach();
}

/** Shows the past up to at; the end of the log is live. */
export function seek(at: number): void {
  const s = stretch();
  gone.value = undefined;
  if ((source.value ?? { live: true }).live && at >= s.to) return back();
  if (!source.value) source.value = logSource();
  present(within(at, s));
}

/** Shows another source from at on. */
export function enter(from: Source, at: number): void {
  if (source.value !== from) source.value?.end();
  source.value = from;
  present(at);
}

function present(at: number): void {
  const from = source.value as Source;
  batch(() => {
    from.show(at, speed.value);
    hold(at);
    tell(from.charts(), from.title(at));
    waiting.value = !from.loaded();
  });
}

/** Gives the page other charts or another title, if they are others. */
function tell(charts: readonly Chart[], title: string): void {
  if (past.peek()?.charts !== charts || past.peek()?.title !== title) past.value = { charts, title };
}

/** Shows again what comes. */
export function back(): void {
  batch(() => {
    playing.value = false;
    waiting.value = false;
    source.value?.end();
    source.value = undefined;
    past.value = undefined;
    release();
  });
}

/** Goes on or stops. */
export function toggle(): void {
  if (source.value) playing.value = !playing.value;
}

/** Moves by one step, back or forth. */
export function step(forth: boolean): void {
  playing.value = false;
  seek((held.value ?? now()) + (forth ? 1 : -1) * stepOf(span()));
}

/** Does what a key on the timeline does; false for keys without a meaning. */
export function press(key: string, shift: boolean): boolean {
  if (key === ' ') {
    toggle();
    return true;
  }
  const to = moved(key, shift, held.value ?? now(), span(), stretch());
  if (to !== undefined) seek(to);
  return to !== undefined;
}

/** Moves the right edge on by what has passed since the last frame. */
function advance(passed: number): void {
  const from = source.value;
  const at = held.value;
  if (!from || at === undefined) return;
  const limit = Math.min(from.limit(at), from.reach().to);
  const to = played(at, passed, speed.value, limit);
  if (from.live && to >= from.reach().to - caught) return back();
  if (!from.live && to >= from.reach().to) playing.value = false;
  present(to);
}

function run(): () => void {
  let last = performance.now();
  let frame = 0;
  const tick = (at: number): void => {
    frame = requestAnimationFrame(tick);
    if (at - last < (still.matches ? 500 : 40)) return;
    advance(at - last);
    last = at;
  };
  frame = requestAnimationFrame(tick);
  return () => cancelAnimationFrame(frame);
}

const look = 15_000; // ms between two looks at how far back the log reaches
const refresh = 250; // ms between two looks at whether something has been fetched

/** Keeps the timeline up to date until the result is called, which ends the past. */
export function begin(): () => void {
  void lookBack();
  const looks = setInterval(() => void lookBack(), look);
  const looksAgain = setInterval(() => {
    const from = source.value;
    const more = waiting.value || past.value?.charts !== from?.charts();
    if (from && more && !playing.value && held.value !== undefined) present(held.value);
  }, refresh);
  const plays = effect(() => (playing.value ? run() : undefined));
  const follows = effect(() => {
    if (held.value === undefined && source.peek()) back(); // released elsewhere
  });
  const marks = effect(() => {
    if (past.value) document.documentElement.dataset.past = '';
    else delete document.documentElement.dataset.past;
  });
  return () => {
    clearInterval(looks);
    clearInterval(looksAgain);
    for (const end of [plays, follows, marks]) end();
    back();
    delete document.documentElement.dataset.past;
  };
}
