import { signal } from '@preact/signals';
import { ask, Refused } from '../ask';
import { clock } from '../format';
import { EventParser, type ServerEvent } from '../live/sse';
import { Store, type Chart } from '../live/store';
import { store } from '../state';
import type { Stretch } from './clock';
import type { Source } from './player';
import { t } from './words';

/** What is asked of a replay; the plan is the one that runs. */
export interface Wish {
  name: string;
  from: string; // RFC 3339
  to: string;
  mode: 'shadow' | 'none';
  rate: number; // events per second; 0: no limit
}

/** How a replay's table compares with the live one. */
export interface Comparison {
  rows_here: number;
  rows_there: number;
  only_here: number;
  only_there?: number;
  different: number;
  columns?: { name: string; different: number }[];
}

/** How far a replay has come. */
export interface Status {
  name: string;
  mode: string;
  from: string;
  to: string;
  begun: string;
  state: 'running' | 'paused' | 'done' | 'stopped' | 'failed';
  error?: string;
  events: number;
  read: number;
  waiting: number;
  held?: string[];
  dead_letters?: number;
  results?: { sink: string; table?: string; events: number; comparison?: Comparison }[];
}

const path = 'api/v1/replays';
const look = 500; // ms between two looks at a replay, and two tries to see its charts
const width = 12; // times as many points as a chart has otherwise

/** The replays that the engine keeps, oldest first. */
export const replays = signal<readonly Status[]>([]);
/** The one that is shown. */
export const shown = signal<Status | undefined>(undefined);
/** Why the last request was refused. */
export const refusal = signal<string | undefined>(undefined);

/** Whether a replay has ended. */
export const over = (s: Status): boolean => s.state !== 'running' && s.state !== 'paused';

/** A refusal in words. */
export function inWords(e: unknown): string {
  if (!(e instanceof Refused)) return t('away');
  if (e.status === 403) return t('scope');
  if (e.status === 401) return t('token');
  return t('refused', { text: e.message });
}

async function told<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    const answer = await request;
    refusal.value = undefined;
    return answer;
  } catch (e) {
    refusal.value = inWords(e);
    return undefined;
  }
}

const wait = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Looks which replays there are. */
export async function list(): Promise<void> {
  const all = await told(ask<{ replays: Status[] }>(path));
  if (all) replays.value = all.replays;
}

/**
 * Begins a replay. One with charts begins paused and goes on once they are looked at,
 * so that not one of its events is missed.
 */
export async function start(wish: Wish): Promise<Status | undefined> {
  const s = await told(ask<Status>(path, { method: 'POST', body: { ...wish, paused: wish.mode === 'shadow' } }));
  if (s) shown.value = s;
  return s;
}

/** Asks that a replay pauses, resumes or stops. */
export async function want(name: string, verb: 'pause' | 'resume' | 'stop'): Promise<void> {
  await told(ask<Status>(`${path}/${name}/${verb}`, { method: 'POST' }));
}

/** Keeps shown at what the engine says of a replay, until that is over or another one is shown. */
export async function follow(name: string): Promise<void> {
  for (;;) {
    const s = await told(ask<Status>(`${path}/${name}`));
    if (shown.value?.name !== name) return;
    if (s) shown.value = s;
    if (s && over(s)) return;
    await wait(look);
  }
}

/** The charts of a replay, as they come. */
export class ReplayCharts implements Source {
  readonly live = false;
  readonly store = new Store(Date.now);
  private readonly abort = new AbortController();
  private lastId = '';

  constructor(
    private readonly name: string,
    stretch: Stretch,
    private readonly begun: () => void, // they are looked at
  ) {
    this.window = Math.max(stretch.to - stretch.from, 60_000) * 2;
    this.store.hides = (chart, key) => store.hides(chart, key);
    this.store.take({ name: 'schema', id: '', data: this.widened(JSON.stringify({ charts: store.charts.map(asSchema) })) });
    void this.read();
  }

  private readonly window: number;

  title = (at: number): string => `${this.name} ${clock(at)}`;
  charts = (): readonly Chart[] => this.store.charts;
  limit = (): number => this.reach().to;
  loaded = (): boolean => true;
  show = (): void => {};
  end = (): void => this.abort.abort();

  /** From the oldest to the newest point. */
  reach = (): Stretch => {
    const columns = this.store.charts.flatMap((c) => c.lines.map((l) => l.column)).filter((c) => c.length);
    return { from: Math.min(...columns.map((c) => c.oldest)), to: Math.max(...columns.map((c) => c.newest)) };
  };

  /** Whether there is a point. */
  get any(): boolean {
    return this.store.charts.some((c) => c.lines.some((l) => l.column.length));
  }

  /** Reads until the replay is over. */
  private async read(): Promise<void> {
    while (!this.abort.signal.aborted) {
      try {
        if ((await this.connect()) === 204) return;
      } catch {
        // the engine is away for a moment, or the replay does not run yet
      }
      await wait(look);
    }
  }

  private async connect(): Promise<number> {
    const query = new URLSearchParams({ replay: this.name, from: this.lastId || 'earliest' });
    const answer = await fetch(`api/v1/live?${query}`, { signal: this.abort.signal, cache: 'no-store', headers: { Accept: 'text/event-stream' } });
    if (!answer.ok || !answer.body) return answer.status === 404 ? 204 : answer.status;
    const parser = new EventParser((e) => this.take(e));
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return 200;
      parser.push(decoder.decode(value, { stream: true }));
    }
  }

  private take(e: ServerEvent): void {
    this.store.take(e.name === 'schema' ? { ...e, data: this.widened(e.data) } : e);
    if (e.id) this.lastId = e.id;
    if (e.name === 'schema') this.begun();
  }

  /** A schema whose charts keep all of the stretch. */
  private widened(data: string): string {
    const s = JSON.parse(data);
    for (const c of s.charts) [c.window_ms, c.max_points] = [Math.max(c.window_ms, this.window), c.max_points * width];
    return JSON.stringify(s);
  }
}

/** What a schema says of a chart; its lines keep their order, hence their colours. */
function asSchema(c: Chart): unknown {
  const { lines, ...about } = c;
  return { ...about, window_ms: c.windowMs, max_points: c.maxPoints, series: lines.map((l, i) => ({ id: -1 - i, key: l.key, unit: l.unit })) };
}
