import { signal } from '@preact/signals';
import { ask, Refused } from '../ask';
import { lookOf, type Chart, type Line } from '../live/store';
import { now, span, store } from '../state';
import { pieceOf, pieces, type Stretch } from './clock';
import { PastColumn } from './column';

/** What the log still has, in times of appending, ms; 0 is nothing. */
export interface Kept {
  charts: { oldest: number; whole: number };
  journal: { oldest: number; whole: number };
}

interface Answer {
  to: number;
  cut?: string;
  kept: Kept;
  charts: (Omit<Chart, 'lines'> & { window_ms: number; max_points: number; series: { key: string; unit?: string; t?: number[]; v?: number[] }[] })[];
}

interface Piece {
  charts: Answer['charts'][];
  until: number; // what is in it was appended before this
}

const mostPieces = 48;
const settled = 2000; // ms after which the log has what was appended
const again = 1000; // ms that a piece at the end may lack before it is fetched again
const pause = 2000; // ms before the next try
const columns = 300; // of one piece

export const kept = signal<Kept | undefined>(undefined);
/** Why the past cannot be read at the moment. */
export const trouble = signal<string | undefined>(undefined);

const query = (from: number, to: number, more = ''): string => `api/v1/charts?from=${Math.round(from)}&to=${Math.round(to)}${more}`;

/** Asks how far back the log reaches. */
export async function lookBack(): Promise<void> {
  try {
    const at = Math.max(1, now());
    kept.value = (await ask<Answer>(query(at - 1, at, '&px=1'))).kept;
  } catch {
    // what was known stays; the header tells that the engine is away
  }
}

/** The stretch that can be shown from the log. */
export function reach(): Stretch {
  const to = now();
  return { from: Math.min(kept.value?.charts.whole || to, to), to };
}

/**
 * The past of the charts, fetched from the log in pieces around what is shown, one at
 * a time, and kept for a while.
 */
export class PastLog {
  charts: Chart[] = [];
  private pieces = new Map<number, Piece>();
  private length = 0;
  private at = NaN;
  private speed = 1;
  private busy = false;
  private ended = false;
  private built = '';

  /** Shows charts up to at, and fetches what is missing for that and for playing on. */
  show(at: number, speed: number): void {
    this.at = at;
    this.speed = speed;
    this.measure();
    this.build();
    for (const chart of this.charts) {
      for (const line of chart.lines) (line.column as PastColumn).show(at);
      chart.revision++;
    }
    void this.fetch();
  }

  /** The last time that can be shown without waiting. */
  limit(at: number): number {
    let n = Math.floor(at / this.length);
    if (!this.pieces.has(n)) return at;
    while (this.full(n)) n++;
    return Math.max(at, this.pieces.get(n)?.until ?? n * this.length);
  }

  /** Whether all that is shown is there. */
  get loaded(): boolean {
    return this.missing().every((n) => n * this.length > this.at);
  }

  end(): void {
    this.ended = true;
  }

  /** Begins anew if pieces have another length for the time that is shown now. */
  private measure(): void {
    const length = pieceOf(span());
    if (length === this.length) return;
    this.length = length;
    this.pieces.clear();
    this.built = '';
  }

  private needed(): number[] {
    return pieces(this.at, span(), this.length, this.speed, reach());
  }

  private full(n: number): boolean {
    return (this.pieces.get(n)?.until ?? 0) >= (n + 1) * this.length;
  }

  private missing(): number[] {
    const newest = now() - settled - again;
    return this.needed().filter((n) => !this.full(n) && (this.pieces.get(n)?.until ?? n * this.length) < newest);
  }

  /** Fetches one piece after another, what is looked at first, until nothing is missing. */
  private async fetch(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    for (let n = this.missing()[0]; n !== undefined && !this.ended; n = this.missing()[0]) {
      try {
        await this.load(n);
        trouble.value = undefined;
      } catch (e) {
        trouble.value = e instanceof Refused ? e.message : String(e);
        await new Promise((done) => setTimeout(done, pause));
      }
      if (!this.ended) this.refresh();
    }
    this.busy = false;
  }

  /** Loads what piece n does not have yet; an answer that was cut brings its beginning. */
  private async load(n: number): Promise<void> {
    const length = this.length;
    const known = this.pieces.get(n) ?? { charts: [], until: n * length };
    const to = Math.min((n + 1) * length, now() - settled);
    const answer = await ask<Answer>(query(known.until, to, `&px=${columns}`));
    kept.value = answer.kept;
    if (length !== this.length) return; // another length was chosen meanwhile
    this.pieces.set(n, { charts: [...known.charts, answer.charts], until: answer.to });
    this.forget();
  }

  private forget(): void {
    const here = this.at / this.length;
    const far = [...this.pieces.keys()].sort((a, b) => Math.abs(b - here) - Math.abs(a - here));
    for (const n of far.slice(0, Math.max(0, far.length - mostPieces))) this.pieces.delete(n);
  }

  private refresh(): void {
    if (Number.isFinite(this.at)) this.show(this.at, this.speed);
  }

  /** Makes the charts of the pieces that are needed, if those have changed. */
  private build(): void {
    const here = this.needed().sort((a, b) => a - b).flatMap((n) => this.pieces.get(n) ?? []);
    const name = here.map((p) => `${p.until}/${p.charts.length}`).join();
    if (name === this.built && this.charts.length) return;
    this.built = name;
    const all = new Map<string, Chart>();
    const before = new Map(this.charts.map((c) => [c.id, c]));
    for (const c of [...store.charts, ...this.charts]) all.set(c.id, emptied(c, before.get(c.id)));
    for (const list of here) for (const answer of list.charts) for (const c of answer) fill(all, c);
    this.charts = [...all.values()];
  }
}

/** A chart that looks like c, with its lines in their colours and without points. */
function emptied(c: Chart, before: Chart | undefined): Chart {
  const chart = before ?? { ...c, lines: c.lines.map((l) => ({ ...l, staged: undefined, still: undefined })) };
  for (const line of chart.lines) line.column = new PastColumn();
  for (const line of before ? c.lines : []) lineOf(chart, line.key, line.unit);
  return chart;
}

function fill(all: Map<string, Chart>, c: Answer['charts'][number]): void {
  let chart = all.get(c.id);
  if (!chart) {
    const { series: _, ...about } = c;
    chart = { ...about, ...lookOf(c), windowMs: c.window_ms, maxPoints: c.max_points, lines: [], revision: 0, structure: 0 };
    all.set(c.id, chart);
  }
  for (const s of c.series) {
    const { column } = lineOf(chart, s.key, s.unit ?? '');
    s.t?.forEach((t, i) => column.insert(t, s.v?.[i] as number));
  }
}

function lineOf(chart: Chart, key: string, unit: string): Line {
  const known = chart.lines.find((l) => l.key === key);
  if (known) return known;
  const line: Line = { key, unit, index: chart.lines.length, column: new PastColumn(), staged: undefined, still: undefined, hidden: store.hides(chart.id, key) };
  chart.lines.push(line);
  chart.structure++;
  return line;
}
