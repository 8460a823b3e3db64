import uPlot from 'uplot';
import { look } from './colors';
import { axisNumber, axisTime, zoned } from '../format';
import type { Chart, Line } from '../live/store';

const font = '11px system-ui, -apple-system, "Segoe UI", "Noto Sans KR", sans-serif';

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
/** Steps between the labels of the time axis, ms. */
const timeSteps = [
  ...[1, 2, 5, 10, 20, 30].map((n) => n * second),
  ...[1, 2, 5, 10, 20, 30].map((n) => n * minute),
  ...[1, 2, 3, 6, 12, 24, 48, 168].map((n) => n * hour),
];

/** A property of the page's style, such as --muted. */
function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** One chart on the screen: uPlot for axes and cursor, lines drawn from columns. */
export class Plot {
  private readonly u: uPlot;
  private readonly marks: HTMLElement[] = [];
  private drawnRevision = -1;
  right = NaN; // time at the right edge, ms
  private span: number; // time that is shown, ms
  hover = NaN; // time under the cursor, ms; NaN without one

  constructor(
    host: HTMLElement,
    private readonly chart: Chart,
    private readonly dark: boolean,
    private readonly moved: (hover: number) => void,
  ) {
    this.span = chart.windowMs;
    this.u = new uPlot(this.options(host), this.frame(), host);
    for (const line of chart.lines) this.mark(line.index);
  }

  private options(host: HTMLElement): uPlot.Options {
    const grid = { stroke: css('--grid'), width: 1 };
    return {
      width: Math.max(host.clientWidth, 50),
      height: Math.max(host.clientHeight, 50),
      ms: 1,
      tzDate: zoned,
      padding: [6, 8, 0, 0],
      legend: { show: false },
      cursor: {
        drag: { x: false, y: false },
        points: { show: false },
        y: false,
        sync: { key: 'millrace', scales: ['x', null] as never, setSeries: false },
      },
      scales: { x: { time: true }, y: { range: () => this.range() } },
      axes: [
        {
          stroke: css('--muted'),
          font,
          grid,
          ticks: { ...grid, size: 4 },
          size: 24,
          gap: 2,
          space: 60,
          incrs: timeSteps,
          values: (_u, splits, _i, _s, incr) => splits.map((s) => axisTime(s, incr)),
        },
        {
          stroke: css('--muted'),
          font,
          grid,
          ticks: { show: false },
          gap: 4,
          space: 26,
          size: (u, values) => this.axisWidth(u, values),
          values: (_u, splits, _i, _s, incr) => splits.map((s) => axisNumber(s, incr)),
        },
      ],
      series: [{}, ...this.chart.lines.map((l) => this.series(l.index))],
      hooks: { setCursor: [() => this.cursor()] },
    };
  }

  private series(index: number): uPlot.Series {
    const { color, dash } = look(index, this.dark);
    return {
      stroke: color,
      width: 1.5,
      dash,
      points: { show: false },
      paths: (u, i) => this.path(u, this.chart.lines[i - 1] as Line),
    };
  }

  private axisWidth(u: uPlot, values: string[] | null): number {
    const longest = (values ?? []).reduce((a, b) => (b.length > a.length ? b : a), '');
    u.ctx.save();
    u.ctx.font = font;
    const width = u.ctx.measureText(longest).width;
    u.ctx.restore();
    return Math.max(30, Math.ceil(width) + 10);
  }

  /** What uPlot is given: the window's two ends. The lines come from columns. */
  private frame(): uPlot.AlignedData {
    const right = Number.isNaN(this.right) ? Date.now() : this.right;
    return [[right - this.span, right], ...this.chart.lines.map(() => [0, 0])];
  }

  private range(): [number, number] {
    let lo = Infinity;
    let hi = -Infinity;
    const right = Number.isNaN(this.right) ? Infinity : this.right; // the scale's own may not have moved yet
    for (const line of this.chart.lines) {
      if (line.hidden) continue;
      const e = line.column.extent(right - this.span, right);
      if (e) [lo, hi] = [Math.min(lo, e[0]), Math.max(hi, e[1])];
    }
    if (lo > hi) return [0, 1];
    const pad = hi > lo ? (hi - lo) * 0.08 : Math.abs(hi) * 0.05 || 1;
    return [lo - pad, hi + pad];
  }

  /**
   * The path of one line. Points of one pixel column become one stroke from their
   * least to their greatest value, which looks the same as drawing them all.
   */
  private path(u: uPlot, { column, hidden }: Line): uPlot.Series.Paths | null {
    if (hidden) return null;
    const stroke = new Path2D();
    const min = u.scales.x?.min ?? 0;
    const max = u.scales.x?.max ?? 1;
    let pen = new Pen(stroke);
    const end = column.length;
    for (let i = Math.max(column.search(min) - 1, 0); i < end; i++) {
      const v = column.value(i);
      if (Number.isNaN(v)) {
        pen.lift();
        continue;
      }
      pen.to(Math.round(u.valToPos(column.time(i), 'x', true)), u.valToPos(v, 'y', true));
      if (column.time(i) > max) break;
    }
    pen.lift();
    return { stroke, fill: null, clip: null, flags: 1 } as never;
  }

  private mark(index: number): void {
    const dot = document.createElement('div');
    dot.className = 'dot';
    dot.style.background = look(index, this.dark).color;
    dot.hidden = true;
    this.u.over.appendChild(dot);
    this.marks.push(dot);
  }

  private cursor(): void {
    const left = this.u.cursor.left ?? -1;
    this.hover = left >= 0 ? this.u.posToVal(left, 'x') : NaN;
    this.chart.lines.forEach((line, i) => {
      const dot = this.marks[i];
      if (!dot) return;
      const p = Number.isNaN(this.hover) || line.hidden ? undefined : line.column.nearest(this.hover);
      dot.hidden = !p || p.t < (this.u.scales.x?.min ?? 0);
      if (p) dot.style.transform = `translate(${this.u.valToPos(p.t, 'x')}px, ${this.u.valToPos(p.v, 'y')}px)`;
    });
    this.moved(this.hover);
  }

  /**
   * Draws the last span ms before right, if there is something new to see: other
   * points, another span, or a move of at least half a pixel.
   */
  draw(right: number, span: number): void {
    const step = span / Math.max(this.u.bbox.width, 1) / 2;
    const same = this.chart.revision === this.drawnRevision && span === this.span;
    if (same && Math.abs(right - this.right) < step) return;
    this.drawnRevision = this.chart.revision;
    this.right = right;
    this.span = span;
    this.u.batch(() => {
      this.u.setData(this.frame(), false);
      this.u.setScale('x', { min: right - span, max: right });
    });
    if (!Number.isNaN(this.hover)) this.cursor();
  }

  resize(width: number, height: number): void {
    this.drawnRevision = -1;
    this.u.setSize({ width: Math.max(width, 50), height: Math.max(height, 50) });
  }

  destroy(): void {
    this.u.destroy();
  }
}

/** Draws from point to point, with one stroke for all points of a pixel column. */
class Pen {
  private x = NaN;
  private last = NaN;
  private lo = NaN;
  private hi = NaN;
  private alone = true;

  constructor(private readonly path: Path2D) {}

  to(x: number, y: number): void {
    if (x === this.x) {
      this.lo = Math.min(this.lo, y);
      this.hi = Math.max(this.hi, y);
      this.last = y;
      this.alone = false;
      return;
    }
    if (Number.isNaN(this.x)) this.path.moveTo(x, y);
    else {
      this.column();
      this.path.lineTo(x, y);
      this.alone = false;
    }
    this.x = x;
    this.last = this.lo = this.hi = y;
  }

  /** Ends the line; a point on its own becomes a small mark. */
  lift(): void {
    if (!Number.isNaN(this.x)) {
      this.column();
      if (this.alone) this.path.rect(this.x - 1, this.last - 1, 2, 2);
    }
    this.x = NaN;
    this.alone = true;
  }

  private column(): void {
    if (this.lo === this.hi) return;
    this.path.lineTo(this.x, this.lo);
    this.path.lineTo(this.x, this.hi);
    this.path.lineTo(this.x, this.last);
  }
}
