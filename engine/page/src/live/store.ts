import { Column } from './column';
import { Skew } from './skew';
import type { ServerEvent } from './sse';

/** One line of a chart. */
export interface Line {
  key: string;
  unit: string;
  index: number; // order of arrival in its chart; picks the colour
  column: Column;
  staged: Column | undefined;
  still: Column | undefined; // while charts are held: what is drawn, which loses nothing
  hidden: boolean; // not drawn, not counted in the range
}

/** What is drawn of a line. */
export function columnOf(line: Line): Column {
  return line.still ?? line.column;
}

export type Severity = 'ok' | 'warn' | 'alarm';
export type Draw = 'line' | 'step' | 'area' | 'bar' | 'state' | 'value' | 'table';

/** A limit; values at it are beyond it. */
export interface Threshold {
  at: number;
  label?: string;
  severity: Severity;
  side?: 'above' | 'below'; // which values are beyond it
}

/** A range of values, with its lower end and without its upper one. */
export interface Band {
  from: number;
  to: number;
  label?: string;
  severity: Severity;
}

/** How a chart is drawn. */
export type Look = Pick<Chart, 'title' | 'decimals' | 'draw' | 'thresholds' | 'bands'>;

/** One chart. Its lines stay for as long as the page is open. */
export interface Chart {
  id: string;
  title: string;
  group: string;
  decimals: number | undefined;
  windowMs: number;
  maxPoints: number;
  draw: Draw;
  thresholds: readonly Threshold[];
  bands: readonly Band[];
  lines: Line[];
  revision: number; // rises with every change of its points
  structure: number; // rises with every new line and another look
}

/** What `hello` says. */
export interface Hello {
  pipeline: string;
  version: string;
  embedded: boolean;
  epoch: string;
  utcOffset: number | undefined; // minutes that the server's time of day is ahead of UTC
}

interface SchemaData {
  charts: {
    id: string;
    title: string;
    group: string;
    decimals?: number;
    window_ms: number;
    max_points: number;
    draw?: Draw;
    thresholds?: Threshold[];
    bands?: Band[];
    series: { id: number; key: string; unit?: string }[];
  }[];
}

interface FrameData {
  history?: boolean;
  begin?: boolean;
  end?: boolean;
  series: { id: number; t: number[]; v: number[] }[];
}

/**
 * Everything that the page knows of the pipeline, built from the events of the
 * live stream. Nothing in it is ever cleared because a connection was lost.
 */
export class Store {
  readonly charts: Chart[] = []; // sorted by group and id
  hello: Hello | undefined;
  clockOffset = 0; // ms that the server's clock is ahead of this machine's
  skew = new Skew();
  lagMs = 0; // how far the engine is behind its log
  logAway = false;
  points = 0; // received live so far
  missed = 0; // told in gaps
  resets = 0;
  revision = 0; // rises with every new chart
  /** Which lines are hidden when they come. */
  hides: (chart: string, key: string) => boolean = () => false;
  private byId = new Map<string, Chart>();
  private lines = new Map<number, { chart: Chart; line: Line }>(); // of this connection

  constructor(
    private readonly now: () => number = Date.now,
    private readonly other: (event: string, data: string) => void = () => {},
  ) {}

  /** The server's time in ms. */
  serverNow(): number {
    return this.now() + this.clockOffset;
  }

  /** Takes in one event; one that it does not know is ignored. */
  take(e: ServerEvent): void {
    switch (e.name) {
      case 'hello':
        this.greet(JSON.parse(e.data));
        break;
      case 'schema':
        this.schema(JSON.parse(e.data));
        break;
      case 'frame':
      case 'snapshot':
        this.frame(JSON.parse(e.data));
        break;
      case 'gap':
        this.gap(JSON.parse(e.data));
        break;
      case 'reset':
        this.resets++;
        break;
      case 'ping':
        this.ping(JSON.parse(e.data));
        break;
      default:
        this.other(e.name, e.data);
    }
  }

  private greet(h: Hello & { time: number; utc_offset_min?: number }): void {
    this.hello = { pipeline: h.pipeline, version: h.version, embedded: h.embedded, epoch: h.epoch, utcOffset: h.utc_offset_min };
    this.clockOffset = h.time - this.now();
    this.skew = new Skew();
    this.skew.measure(h.time, this.now());
    this.lines.clear();
  }

  private ping(p: { time: number; lag_ms?: number; log: string }): void {
    this.clockOffset = p.time - this.now();
    this.skew.measure(p.time, this.now());
    this.lagMs = p.lag_ms ?? 0;
    this.logAway = p.log !== 'ok';
  }

  private schema(s: SchemaData): void {
    for (const c of s.charts) {
      const chart = this.chart(c);
      for (const l of c.series) this.lines.set(l.id, { chart, line: this.line(chart, l.key, l.unit ?? '') });
    }
  }

  private chart(c: SchemaData['charts'][number]): Chart {
    const known = this.byId.get(c.id);
    if (known) {
      this.redress(known, c);
      return known;
    }
    const chart: Chart = {
      id: c.id,
      group: c.group,
      windowMs: c.window_ms,
      maxPoints: c.max_points,
      ...lookOf(c),
      lines: [],
      revision: 0,
      structure: 0,
    };
    this.byId.set(c.id, chart);
    this.charts.push(chart);
    this.charts.sort((a, b) => order(a.group, b.group) || order(a.id, b.id));
    this.revision++;
    return chart;
  }

  /** Gives a chart the look that it has now: its pipeline's file may have been applied again. */
  private redress(chart: Chart, c: SchemaData['charts'][number]): void {
    const look = lookOf(c);
    const { title, decimals, draw, thresholds, bands } = chart;
    if (JSON.stringify(look) === JSON.stringify({ title, decimals, draw, thresholds, bands })) return;
    Object.assign(chart, look);
    chart.structure++;
    chart.revision++;
  }

  private line(chart: Chart, key: string, unit: string): Line {
    const known = chart.lines.find((l) => l.key === key);
    if (known) return known;
    const line: Line = {
      key,
      unit,
      index: chart.lines.length,
      column: new Column(chart.windowMs, chart.maxPoints),
      staged: undefined,
      still: undefined,
      hidden: this.hides(chart.id, key),
    };
    chart.lines.push(line);
    chart.structure++;
    return line;
  }

  private frame(f: FrameData): void {
    if (f.begin) this.stage();
    for (const s of f.series) {
      const at = this.lines.get(s.id);
      if (!at) continue;
      const column = f.history ? (at.line.staged ??= at.line.column.fresh()) : at.line.column;
      for (let i = 0; i < s.t.length; i++) {
        column.insert(s.t[i] as number, s.v[i] as number);
        if (!f.history) at.line.still?.insert(s.t[i] as number, s.v[i] as number);
      }
      if (!f.history) this.points += s.t.length;
      at.chart.revision++;
    }
    if (f.end) this.adopt();
  }

  /** Decides anew which lines of charts are hidden. */
  hideLines(charts: readonly Chart[] = this.charts): void {
    for (const chart of charts) {
      for (const line of chart.lines) line.hidden = this.hides(chart.id, line.key);
      chart.revision++;
    }
  }

  /** Keeps all points that there are for charts that stand still; what comes is taken in besides. */
  keep(): void {
    for (const chart of this.charts) for (const line of chart.lines) line.still ??= line.column.keep();
  }

  /** Ends that. */
  letGo(): void {
    for (const chart of this.charts) {
      for (const line of chart.lines) line.still = undefined;
      chart.revision++;
    }
  }

  private stage(): void {
    for (const chart of this.charts) for (const line of chart.lines) line.staged = undefined;
  }

  private adopt(): void {
    for (const chart of this.charts) {
      for (const line of chart.lines) {
        const history = line.staged ?? line.column.fresh();
        line.column.adopt(history);
        line.still?.adopt(history);
        line.staged = undefined;
      }
      chart.revision++;
    }
  }

  private gap(g: { points?: number; reason: string; items?: number }): void {
    if (!g.points) return; // merged, or of a state that comes again
    this.missed += g.points;
    for (const chart of this.charts) {
      for (const line of chart.lines) {
        line.column.break();
        line.still?.break();
      }
      chart.revision++;
    }
  }
}

/** How a chart of the schema is to be drawn. */
export function lookOf(c: Partial<Look> & { title: string }): Look {
  const { title, decimals, draw = 'line', thresholds = [], bands = [] } = c;
  return { title, decimals, draw, thresholds, bands };
}

function order(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
