/**
 * The points of one line in order of time. Appending is cheap, a late point is put
 * in its place, the oldest leave. A value of NaN breaks the line.
 */
export class Column {
  private t = new Float64Array(64);
  private v = new Float64Array(64);
  private from = 0;
  private to = 0;
  private kept = false;
  /** How many points have come at its end. */
  appended = 0;
  /** Rises when points change anywhere else; that the oldest leave does not count. */
  rewritten = 0;

  constructor(
    private windowMs: number,
    private maxPoints: number,
  ) {}

  get length(): number {
    return this.to - this.from;
  }

  time(i: number): number {
    return this.t[this.from + i] ?? NaN;
  }

  value(i: number): number {
    return this.v[this.from + i] ?? NaN;
  }

  /** The times of all points, as they are until the column changes. */
  get times(): Float64Array {
    return this.t.subarray(this.from, this.from + this.length);
  }

  /** The values of all points, as they are until the column changes. */
  get values(): Float64Array {
    return this.v.subarray(this.from, this.from + this.length);
  }

  /** Time of the newest point, NaN if there is none. */
  get newest(): number {
    return this.length ? this.time(this.length - 1) : NaN;
  }

  /** Time of the oldest point, NaN if there is none. */
  get oldest(): number {
    return this.length ? this.time(0) : NaN;
  }

  /** Puts a point in its place in time, behind those of equal time. */
  insert(t: number, v: number): void {
    if (this.kept && this.length >= this.maxPoints) return;
    if (this.to === this.t.length) this.makeRoom();
    let at = this.to;
    if (this.to > this.from && (this.t[this.to - 1] as number) > t) {
      at = this.from + this.after(t);
      this.t.copyWithin(at + 1, at, this.to);
      this.v.copyWithin(at + 1, at, this.to);
      this.rewritten++;
    } else this.appended++;
    this.t[at] = t;
    this.v[at] = v;
    this.to++;
    this.evict();
  }

  /** Breaks the line behind its newest point. */
  break(): void {
    if (this.length && !Number.isNaN(this.value(this.length - 1))) this.insert(this.newest, NaN);
  }

  /** Index of the first point not before t. */
  search(t: number): number {
    return this.bisect((x) => x >= t);
  }

  /** Index of the first point after t. */
  private after(t: number): number {
    return this.bisect((x) => x > t);
  }

  private bisect(hit: (t: number) => boolean): number {
    let lo = this.from;
    let hi = this.to;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (hit(this.t[mid] as number)) hi = mid;
      else lo = mid + 1;
    }
    return lo - this.from;
  }

  private evict(): void {
    if (this.kept) return;
    const edge = (this.t[this.to - 1] as number) - this.windowMs;
    while (this.to - this.from > this.maxPoints || (this.t[this.from] as number) < edge) this.from++;
  }

  private makeRoom(): void {
    const length = this.length;
    if (this.from < this.t.length / 2) {
      const t = new Float64Array(this.t.length * 2);
      const v = new Float64Array(this.t.length * 2);
      t.set(this.t.subarray(this.from, this.to));
      v.set(this.v.subarray(this.from, this.to));
      this.t = t;
      this.v = v;
    } else {
      this.t.copyWithin(0, this.from, this.to);
      this.v.copyWithin(0, this.from, this.to);
    }
    this.from = 0;
    this.to = length;
  }

  /**
   * Takes a history: its points replace all of this column from its first one on;
   * what is older stays, with a break between.
   */
  adopt(history: Column): void {
    if (!history.length) {
      this.break();
      return;
    }
    const first = history.time(0);
    this.rewritten++;
    this.to = this.from + this.search(first);
    this.break();
    for (let i = 0; i < history.length; i++) this.insert(history.time(i), history.value(i));
  }

  /** An empty column with the same bounds. */
  fresh(): Column {
    return new Column(this.windowMs, this.maxPoints);
  }

  /**
   * A copy that loses none of its points: it takes new ones until it has four times
   * as many as this column may have.
   */
  keep(): Column {
    const copy = new Column(this.windowMs, this.maxPoints * 4);
    copy.kept = true;
    copy.t = this.t.slice(this.from, this.to + 64);
    copy.v = this.v.slice(this.from, this.to + 64);
    copy.to = this.length;
    return copy;
  }

  /** Least and greatest value of points from time a to b; undefined if there is none. */
  extent(a: number, b: number): [number, number] | undefined {
    const { times, values } = this;
    let lo = Infinity;
    let hi = -Infinity;
    for (let i = this.search(a); i < times.length && (times[i] as number) <= b; i++) {
      const v = values[i] as number;
      if (v < lo) lo = v;
      if (v > hi) hi = v;
    }
    return lo <= hi ? [lo, hi] : undefined;
  }

  /** The newest point that is a value and not after until; undefined if there is none. */
  last(until = Infinity): { t: number; v: number } | undefined {
    for (let i = (until < this.newest ? this.after(until) : this.length) - 1; i >= 0; i--) {
      if (!Number.isNaN(this.value(i))) return { t: this.time(i), v: this.value(i) };
    }
    return undefined;
  }

  /** The point nearest to t that is a value; undefined if there is none. */
  nearest(t: number): { t: number; v: number } | undefined {
    const at = this.search(t);
    let best: { t: number; v: number } | undefined;
    for (const i of [at - 2, at - 1, at, at + 1]) {
      if (i < 0 || i >= this.length || Number.isNaN(this.value(i))) continue;
      if (!best || Math.abs(this.time(i) - t) < Math.abs(best.t - t)) best = { t: this.time(i), v: this.value(i) };
    }
    return best;
  }
}
