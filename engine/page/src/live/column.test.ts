import { describe, expect, it } from 'vitest';
import { Column } from './column';

const points = (c: Column): [number, number][] =>
  Array.from({ length: c.length }, (_, i) => [c.time(i), c.value(i)] as [number, number]);

function filled(...ps: [number, number][]): Column {
  const c = new Column(1000, 100);
  for (const [t, v] of ps) c.insert(t, v);
  return c;
}

describe('Column', () => {
  it('puts late points in their place, equal times in order of arrival', () => {
    expect(points(filled([10, 1], [30, 3], [20, 2], [20, 2.5], [5, 0]))).toEqual([
      [5, 0],
      [10, 1],
      [20, 2],
      [20, 2.5],
      [30, 3],
    ]);
  });

  it('keeps the window and no more than its points', () => {
    const c = new Column(100, 5);
    for (let t = 0; t < 1000; t += 10) c.insert(t, t);
    expect(points(c).map(([t]) => t)).toEqual([950, 960, 970, 980, 990]);
    c.insert(2000, 1);
    expect(points(c)).toEqual([[2000, 1]]);
    c.insert(1, 1); // older than the window: gone at once
    expect(points(c)).toEqual([[2000, 1]]);
  });

  it('keeps a copy that loses nothing, up to four times its points', () => {
    const c = filled([10, 1], [20, 2]);
    const kept = c.keep();
    c.insert(5000, 3);
    kept.insert(5000, 3);
    expect(points(c)).toEqual([[5000, 3]]);
    expect(points(kept)).toEqual([[10, 1], [20, 2], [5000, 3]]);
    for (let t = 6000; t < 7000; t++) kept.insert(t, t);
    expect([kept.length, kept.oldest]).toEqual([400, 10]);
  });

  it('tells growth at its end from other changes', () => {
    const c = filled([10, 1], [20, 2]);
    const change = (f: () => void): [number, number] => {
      const { appended, rewritten } = c;
      f();
      return [c.appended - appended, c.rewritten - rewritten];
    };
    expect(change(() => c.insert(20, 3))).toEqual([1, 0]);
    expect(change(() => c.insert(19, 3))).toEqual([0, 1]);
    expect(change(() => c.break())).toEqual([1, 0]);
    expect(change(() => c.break())).toEqual([0, 0]);
    expect(change(() => c.insert(5000, 1))).toEqual([1, 0]); // the others leave
    expect(change(() => c.adopt(filled([4000, 1])))[1]).toBeGreaterThan(0);
  });

  it('knows the newest value up to a time', () => {
    const c = filled([10, 1], [20, 2], [20, NaN], [30, 3]);
    expect(c.last()?.v).toBe(3);
    expect(c.last(29)?.v).toBe(2);
    expect(c.last(5)).toBeUndefined();
  });

  it('is as a sorted list under random insertions', () => {
    let seed = 7;
    const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
    for (let round = 0; round < 50; round++) {
      const c = new Column(500, 40);
      let model: [number, number][] = [];
      for (let i = 0; i < 300; i++) {
        const p: [number, number] = [i * 3 + random(60), i];
        c.insert(...p);
        const at = model.findIndex(([t]) => t > p[0]);
        model.splice(at < 0 ? model.length : at, 0, p);
        const edge = (model.at(-1) as [number, number])[0] - 500;
        model = model.filter(([t]) => t >= edge).slice(-40);
        if (i % 20 === 0) expect(points(c)).toEqual(model);
      }
      expect(points(c)).toEqual(model);
    }
  });

  it('takes a history behind a break and keeps what is older', () => {
    const c = filled([10, 1], [20, 2], [30, 3], [40, 4]);
    c.adopt(filled([30, 3], [35, 3.5], [50, 5]));
    expect(points(c)).toEqual([
      [10, 1],
      [20, 2],
      [20, NaN],
      [30, 3],
      [35, 3.5],
      [50, 5],
    ]);
  });

  it('keeps everything when the history is empty', () => {
    const c = filled([10, 1]);
    c.adopt(c.fresh());
    c.adopt(c.fresh());
    expect(points(c)).toEqual([
      [10, 1],
      [10, NaN],
    ]);
    expect(c.last()).toEqual({ t: 10, v: 1 });
  });

  it('finds extents and the nearest point beside breaks', () => {
    const c = filled([10, 1], [20, 5]);
    c.break();
    c.insert(30, -2);
    expect(c.extent(0, 100)).toEqual([-2, 5]);
    expect(c.extent(11, 29)).toEqual([5, 5]);
    expect(c.extent(21, 29)).toBeUndefined();
    expect(c.nearest(22)).toEqual({ t: 20, v: 5 });
    expect(c.nearest(99)).toEqual({ t: 30, v: -2 });
  });
});
