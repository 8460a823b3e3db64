import uPlot from 'uplot';
import { look } from './colors';
import { envelope } from './envelope';
import { Ends, type Piece } from './ends';
import { axisNumber, axisTime, zoned } from '../format';
import { handling, loadHandling, type Handle } from './handling';
import { columnOf, type Chart, type Line } from '../live/store';
import { marks, type Mark } from '../live/topics';
import { Box, linePath, type Paths } from './paths';
import './plot.css';
import { timeSteps } from './reduce';
import { yRange } from './scale';

const font = '11px system-ui, -apple-system, "Segoe UI", "Noto Sans KR", sans-serif';

/** Steps between the labels of the value axis. */
const valueSteps = Array.from({ length: 60 }, (_, i) => [1, 2, 5].map((n) => Number(`${n}e${i - 30}`))).flat();
const cut = 18; // px from the right edge: a label there would be cut off
const tallestRow = 44; // px, of a state chart
const mostLetters = 14; // of a line's name beside its row
const lineWidth = 1; // px; above that it takes a browser without a GPU longer
const freshFor = 1000; // ms after which all is drawn anew if something has come: marks and limits stand over lines again

/** A property of the page's style, such as --muted. */
function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** How wide the plot is, px; asking the element would have the browser lay the page out in each frame. */
function wide(u: uPlot): number {
  return u.bbox.width / devicePixelRatio;
}

/** One chart on the screen: uPlot for axes and cursor, lines drawn from columns. */
export class Plot {
  private readonly u: uPlot;
  private readonly dots: HTMLElement[] = [];
  private handle: Handle | undefined;
  private readonly ends = new Ends();
  private drawnAt = -Infinity; // all of it, ms
  private drawnRevision = -1;
  private drawnMarks: readonly Mark[] | undefined;
  private drawnEnvelope = false;
  right = NaN; // time at the right edge, ms
  private span: number; // time that is shown, ms
  hover = NaN; // time under the cursor, ms; NaN without one

  constructor(
    private readonly host: HTMLElement,
    private readonly chart: Chart,
    private readonly dark: boolean,
    private readonly moved: (hover: number) => void,
  ) {
    this.span = chart.windowMs;
    this.u = new uPlot(this.options(host), this.frame(), host);
    for (const line of chart.lines) this.dot(line.index);
    loadHandling();
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
        bind: { dblclick: () => null },
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
          values: (u, splits, _i, _s, incr) => splits.map((s) => (u.valToPos(s, 'x') > wide(u) - cut ? '' : axisTime(s, incr))),
        },
        { stroke: css('--muted'), font, gap: 4, size: (u, values) => this.axisWidth(u, values), ...this.valueAxis(grid) },
      ],
      series: [{}, ...this.chart.lines.map((l) => this.series(l))],
      hooks: {
        setCursor: [() => this.cursor()],
        drawClear: [(u) => this.handle?.behind(u)],
        draw: [(u) => this.handle?.above(u)],
      },
    };
  }

  /** Numbers, or of a state chart the names of the lines. */
  private valueAxis(grid: uPlot.Axis.Grid): uPlot.Axis {
    if (this.chart.draw !== 'state') {
      return { grid, ticks: { show: false }, space: 26, incrs: valueSteps, values: (_u, splits, _i, _s, incr) => splits.map((s) => axisNumber(s, incr)) };
    }
    return {
      grid: { show: false },
      ticks: { show: false },
      splits: () => this.lines().map((_l, i) => i + 0.5),
      values: () => this.lines().map((l) => short(l.key)).reverse(),
    };
  }

  /** The lines that are drawn. */
  private lines(): Line[] {
    return this.chart.lines.filter((l) => !l.hidden);
  }

  private series(line: Line): uPlot.Series {
    const { color, dash } = look(line.index, this.dark);
    return {
      stroke: color,
      fill: color + (this.chart.draw === 'bar' ? 'cc' : '2b'),
      width: this.chart.draw === 'bar' ? 0 : lineWidth, // 0 leaves edges where whole pixels are
      dash,
      points: { show: false },
      paths: (u) => ({ ...(line.hidden ? { stroke: null, fill: null } : this.path(u, line)), clip: null, flags: 1 }) as never,
    };
  }

  private path(u: uPlot, line: Line): Paths {
    const { draw } = this.chart;
    if (!this.handle && (draw === 'bar' || draw === 'state')) return { stroke: null, fill: null }; // soon
    return this.handle?.path(u, line) ?? linePath(columnOf(line), new Box(u), draw === 'step');
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
    if (this.chart.draw === 'state') return this.rowRange();
    let lo = Infinity;
    let hi = -Infinity;
    const right = Number.isNaN(this.right) ? Infinity : this.right; // the scale's own may not have moved yet
    for (const line of this.lines()) {
      const e = columnOf(line).extent(right - this.span, right);
      if (e) [lo, hi] = [Math.min(lo, e[0]), Math.max(hi, e[1])];
    }
    return yRange(lo, hi, this.chart.draw, this.chart.thresholds);
  }

  /** One for each row of a state chart; few rows leave room, half of it above them. */
  private rowRange(): [number, number] {
    const rows = Math.max(this.lines().length, 1);
    const room = Math.max((this.u?.bbox.height ?? 0) / devicePixelRatio / tallestRow - rows, 0) / 2;
    return [-room, rows + room];
  }

  private dot(index: number): void {
    const dot = document.createElement('div');
    dot.className = 'dot';
    dot.style.background = look(index, this.dark).color;
    dot.hidden = true;
    this.u.over.appendChild(dot);
    this.dots.push(dot);
  }

  private cursor(): void {
    const left = this.u.cursor.left ?? -1;
    this.hover = left >= 0 ? this.u.posToVal(left, 'x') : NaN;
    this.chart.lines.forEach((line, i) => {
      const dot = this.dots[i];
      if (!dot) return;
      const pointed = !Number.isNaN(this.hover) && !line.hidden && !['state', 'bar'].includes(this.chart.draw);
      const p = pointed ? columnOf(line).nearest(this.hover) : undefined;
      dot.hidden = !p || p.t < (this.u.scales.x?.min ?? 0) || p.t > (this.u.scales.x?.max ?? 0);
      if (p) dot.style.transform = `translate(${this.u.valToPos(p.t, 'x')}px, ${this.u.valToPos(p.v, 'y')}px)`;
    });
    this.moved(this.hover);
  }

  /**
   * Draws the last span ms before right, if there is something new to see: points, marks,
   * another span, or a move of a pixel. Points behind the ends of lines are drawn alone;
   * all else only if whole, and then it answers true.
   */
  draw(right: number, span: number, whole: boolean): boolean {
    this.take();
    const stays = this.stays(right, span);
    if (stays && this.chart.revision === this.drawnRevision) return false;
    if (stays && this.extend()) return false;
    if (!whole) return false;
    this.drawAll(right, span);
    return true;
  }

  /** Whether what is drawn may stay as it is but for its lines: time has moved by less than a pixel, all else is the same. */
  private stays(right: number, span: number): boolean {
    const step = this.pixel(span);
    const still = span === this.span && right <= this.right && right > this.right - step;
    return still && marks.value === this.drawnMarks && envelope.value === this.drawnEnvelope;
  }

  /** The time that one pixel of the canvas shows, ms. */
  private pixel(span: number): number {
    return span / Math.max(this.u.bbox.width, 1);
  }

  /** Draws what has come behind the ends of lines; false if that is not all that is new. */
  private extend(): boolean {
    if (this.chart.draw !== 'line' || envelope.value || performance.now() - this.drawnAt > freshFor) return false;
    const pieces = this.ends.take(this.chart.lines, new Box(this.u));
    if (!pieces) return false;
    this.drawnRevision = this.chart.revision;
    if (pieces.length) this.stroke(pieces);
    return true;
  }

  /** Strokes pieces of lines as uPlot strokes lines. */
  private stroke(pieces: readonly Piece[]): void {
    const { ctx, bbox } = this.u;
    const width = lineWidth * devicePixelRatio;
    const offset = (width % 2) / 2;
    ctx.save();
    ctx.translate(offset, offset);
    ctx.beginPath();
    ctx.rect(bbox.left - width / 2, bbox.top - width / 2, bbox.width + width, bbox.height + width);
    ctx.clip();
    ctx.lineWidth = width;
    ctx.lineJoin = 'round';
    for (const { line, path } of pieces) {
      const { color, dash } = look(line.index, this.dark);
      ctx.strokeStyle = color;
      ctx.setLineDash(dash);
      ctx.stroke(path);
    }
    ctx.restore();
  }

  /** Draws all, with the right edge at a whole pixel of time: lines move as they are, without a tremble. */
  private drawAll(right: number, span: number): void {
    const step = this.pixel(span);
    this.drawnAt = performance.now();
    this.drawnRevision = this.chart.revision;
    this.drawnMarks = marks.value;
    this.drawnEnvelope = envelope.value;
    this.right = Math.ceil(right / step) * step;
    this.span = span;
    this.u.batch(() => {
      this.u.setData(this.frame(), false);
      this.u.setScale('x', { min: this.right - span, max: this.right });
    });
    this.ends.set(this.chart.lines);
    this.handle?.place(wide(this.u));
    if (!Number.isNaN(this.hover)) this.cursor();
  }

  /** Lets the plot be handled, once the code for that is there. */
  private take(): void {
    if (this.handle || !handling.value) return;
    const view = () => ({ right: this.right, span: this.span });
    this.handle = handling.value.handle({ host: this.host, over: this.u.over, chart: this.chart, dark: this.dark, view });
    this.forget();
  }

  /** Has all drawn anew. */
  private forget(): void {
    this.drawnRevision = -1;
    this.drawnAt = -Infinity;
  }

  resize(width: number, height: number): void {
    this.forget();
    this.u.setSize({ width: Math.max(width, 50), height: Math.max(height, 50) });
  }

  destroy(): void {
    this.handle?.end();
    this.u.destroy();
  }
}

function short(key: string): string {
  return key.length > mostLetters ? `${key.slice(0, mostLetters - 1)}…` : key;
}
