import type uPlot from 'uplot';
import type { Column } from '../live/column';

/** Where times and values are on a plot's canvas, in its pixels. */
export class Box {
  readonly from: number; // ms
  readonly to: number;
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  private readonly lo: number;
  private readonly hi: number;
  private readonly perMs: number; // px

  constructor(u: uPlot) {
    ({ left: this.left, top: this.top, width: this.width, height: this.height } = u.bbox);
    this.from = u.scales.x?.min ?? 0;
    this.to = u.scales.x?.max ?? 1;
    this.lo = u.scales.y?.min ?? 0;
    this.hi = u.scales.y?.max ?? 1;
    this.perMs = this.width / (this.to - this.from);
  }

  x(t: number): number {
    return this.left + (t - this.from) * this.perMs;
  }

  y(v: number): number {
    return this.top + ((this.hi - v) / (this.hi - this.lo)) * this.height;
  }

  /** Whether the value is between the ends of the axis. */
  holds(v: number): boolean {
    return v >= this.lo && v <= this.hi;
  }

  /** The value nearest to zero that is on the axis: where bars and areas stand. */
  get base(): number {
    return Math.min(Math.max(0, this.lo), this.hi);
  }
}

/** What uPlot strokes and fills for one line. */
export interface Paths {
  stroke: Path2D | null;
  fill: Path2D | null;
}

/**
 * The path of a line. Points of one pixel column become one stroke from their least
 * to their greatest value, which looks the same as drawing them all. With step a
 * value holds until the next one, the last until the right edge.
 */
export function linePath(c: Column, box: Box, step = false): Paths {
  const stroke = new Path2D();
  follow(c, box, step, new Pen(stroke));
  return { stroke, fill: null };
}

/**
 * Draws the points of a line with pen, from the last one on that is left of the box or
 * the one with number first. Of those in one pixel column it takes the first, the least,
 * the greatest and the last: all that is seen of them.
 */
export function follow(c: Column, box: Box, step: boolean, pen: Pen, first = 0): void {
  const { times, values } = c;
  let y = NaN;
  let i = Math.max(c.search(box.from) - 1, first);
  while (i < times.length) {
    const x = Math.round(box.x(times[i] as number));
    let v = values[i] as number;
    if (Number.isNaN(v)) {
      pen.lift();
      y = NaN;
      i++;
      continue;
    }
    if (step && !Number.isNaN(y)) pen.to(x, y);
    pen.to(x, box.y(v));
    const end = columnEnd(times, values, box, x, i);
    if (end > i + 1) {
      const [lo, hi] = extremes(values, i, end);
      pen.to(x, box.y(lo));
      pen.to(x, box.y(hi));
      v = values[end - 1] as number;
      pen.to(x, box.y(v));
    }
    y = box.y(v);
    if ((times[end - 1] as number) > box.to) break;
    i = end;
  }
  if (step && !Number.isNaN(y)) pen.to(Math.max(pen.x, Math.round(box.x(box.to))), y);
  pen.lift();
}

/** Where the values that follow point i in pixel column x end: at another column, a break or the last point. */
function columnEnd(times: Float64Array, values: Float64Array, box: Box, x: number, i: number): number {
  do i++;
  while (i < times.length && Math.round(box.x(times[i] as number)) === x && !Number.isNaN(values[i] as number));
  return i;
}

/** The least and the greatest of values from a to before b. */
function extremes(values: Float64Array, a: number, b: number): [number, number] {
  let lo = values[a] as number;
  let hi = lo;
  for (let i = a + 1; i < b; i++) {
    const v = values[i] as number;
    if (v < lo) lo = v;
    else if (v > hi) hi = v;
  }
  return [lo, hi];
}

/** Draws from point to point, with one stroke for all points of a pixel column. */
export class Pen {
  x = NaN;
  private first = NaN;
  private entry = NaN; // where the pixel column was entered
  private last = NaN;
  private lo = NaN;
  private hi = NaN;
  private alone = true;

  /** With base, pieces of the line become areas that stand on it. */
  constructor(
    private readonly path: Path2D,
    private readonly base?: number,
  ) {}

  to(x: number, y: number): void {
    if (x === this.x) {
      this.lo = Math.min(this.lo, y);
      this.hi = Math.max(this.hi, y);
      this.last = y;
      this.alone = false;
      return;
    }
    if (Number.isNaN(this.x)) this.begin(x, y);
    else {
      this.column();
      this.path.lineTo(x, y);
      this.alone = false;
    }
    this.x = x;
    this.entry = this.last = this.lo = this.hi = y;
  }

  private begin(x: number, y: number): void {
    this.first = x;
    if (this.base === undefined) this.path.moveTo(x, y);
    else {
      this.path.moveTo(x, this.base);
      this.path.lineTo(x, y);
    }
  }

  /** Ends the line; a point on its own becomes a small mark. */
  lift(): void {
    if (!Number.isNaN(this.x)) {
      this.column();
      if (this.base !== undefined) this.stand(this.base);
      else if (this.alone) this.path.rect(this.x - 1, this.last - 1, 2, 2);
    }
    this.x = NaN;
    this.alone = true;
  }

  private stand(base: number): void {
    this.path.lineTo(this.x, base);
    this.path.lineTo(this.first, base);
    this.path.closePath();
  }

  /** Goes where the column's points go and no stretch twice: a path costs by its corners. */
  private column(): void {
    if (this.lo === this.hi) return;
    if (this.lo < Math.min(this.entry, this.last)) this.path.lineTo(this.x, this.lo);
    if (this.hi > Math.max(this.entry, this.last)) this.path.lineTo(this.x, this.hi);
    this.path.lineTo(this.x, this.last);
  }
}
