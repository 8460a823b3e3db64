import { effect, signal } from '@preact/signals';
import type { Refused } from './ask';
import { held, range } from './charts/time';
import { Store } from './live/store';
import { LiveStream, type State } from './live/stream';
import { tell } from './live/topics';

/** What the chip in the header shows. */
export type Chip = State | 'lagging' | 'stale';

export const store = new Store(Date.now, tell);
export const connection = signal<State>('connecting');
/** What the engine said when it refused the stream; undefined while it does not. */
export const refused = signal<Refused | undefined>(undefined);
/** Rises four times a second; what shows numbers reads it. */
export const beat = signal(0);
export { dark } from './frame/theme';
export const filter = signal('');
/** What can be chosen, if a chart's window is as long. */
export const spans = [60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 21_600_000, 86_400_000];

/** How far behind its log an engine may be before the page says that it lags, ms. */
export const lagBound = 2000;
/** How far clocks may be apart before the page says so, ms. */
export const skewBound = 2000;

let lastEvent = Date.now();
let lostAt = Date.now();
let frozen = NaN; // the server's time when the connection was lost

const wanted = ['chart:*', 'graph:*', 'dlq:*'];

/** Subscribes to more than the usual, such as tap:NODE, until the result is called. */
export function want(sub: string): () => void {
  wanted.push(sub);
  stream.renew();
  return () => {
    wanted.splice(wanted.indexOf(sub), 1);
    stream.renew();
  };
}

function liveAddress(): string {
  return `api/v1/live?${new URLSearchParams([...new Set(wanted)].map((sub) => ['sub', sub]))}`;
}

export const stream = new LiveStream(liveAddress, {
  event: (e) => {
    lastEvent = Date.now();
    store.take(e);
  },
  state: (s, why) => {
    if (s !== 'live' && connection.value === 'live') {
      lostAt = Date.now();
      frozen = store.serverNow();
    }
    if (s === 'live') frozen = NaN;
    connection.value = s;
    refused.value = why;
  },
});

/** The server's time, ms; it stands still while the server is away. */
export function now(): number {
  return Number.isNaN(frozen) ? store.serverNow() : frozen;
}

/** The time at the right edge of charts, ms: now, unless they are held. */
export function edge(): number {
  return held.value ?? now();
}

/** The longest window of all charts, ms. */
export function longest(): number {
  return Math.max(0, ...store.charts.map((c) => c.windowMs));
}

let grown = { at: -1, span: 0 };

/**
 * The time that charts show: as chosen, else the least step that holds all their
 * data, so that a young pipeline does not draw slivers.
 */
export function span(): number {
  if (range.value) return range.value;
  if (grown.at === beat.value || (held.value !== undefined && grown.span)) return grown.span;
  let widest = 0;
  for (const c of store.charts) {
    const newest = Math.max(...c.lines.map((l) => l.column.newest || 0));
    for (const l of c.lines) widest = Math.max(widest, newest - l.column.oldest || 0);
  }
  const step = spans.find((s) => s >= widest) ?? longest();
  grown = { at: beat.value, span: Math.min(step, longest()) };
  return grown.span;
}

/** Seconds since the last event. */
export function silentFor(): number {
  return Math.round((Date.now() - lastEvent) / 1000);
}

/** What the chip shows now. */
export function chip(): Chip {
  if (connection.value !== 'live') return connection.value;
  if (store.logAway || silentFor() > 8) return 'stale';
  return store.lagMs > lagBound ? 'lagging' : 'live';
}

/** Whether the engine has been away for so long that the page should say so. */
export function lost(): boolean {
  return connection.value !== 'live' && connection.value !== 'refused' && Date.now() - lostAt > 5000;
}

/** Values per second over the last few seconds. */
export class Rate {
  private seen: { at: number; points: number }[] = [];

  measure(points: number, at: number): number {
    this.seen.push({ at, points });
    while (this.seen.length > 2 && at - (this.seen[0]?.at ?? at) > 4000) this.seen.shift();
    const first = this.seen[0];
    if (!first || at - first.at < 500) return 0;
    return ((points - first.points) * 1000) / (at - first.at);
  }
}

export function begin(): void {
  effect(() => (held.value === undefined ? store.letGo() : store.keep()));
  setInterval(() => beat.value++, 250);
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) stream.retryNow();
  });
  addEventListener('online', () => stream.retryNow());
  stream.start();
}
