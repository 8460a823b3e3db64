import { expect, test } from 'vitest';
import { between, clamp, panned, zoomed } from './zoom';

const bounds = { oldest: 0, now: 100_000, longest: 60_000 };

test('a view is between two times, whichever comes first', () => {
  expect(between(50_000, 20_000, bounds)).toEqual({ right: 50_000, span: 30_000 });
  expect(between(20_000, 20_001, bounds)).toEqual({ right: 20_001, span: 1000 });
});

test('the time under the pointer stays where it is', () => {
  const v = { right: 80_000, span: 40_000 };
  const z = zoomed(v, 50_000, 0.5, bounds);
  const place = (w: typeof v): number => (50_000 - (w.right - w.span)) / w.span;
  expect(place(z)).toBeCloseTo(place(v));
  expect(z.span).toBe(20_000);
});

test('zooming ends at the shortest and the longest view', () => {
  expect(zoomed({ right: 80_000, span: 1500 }, 79_000, 0.1, bounds).span).toBe(1000);
  expect(zoomed({ right: 80_000, span: 50_000 }, 79_000, 9, bounds).span).toBe(60_000);
});

test('panning ends now and at the oldest point', () => {
  expect(panned({ right: 90_000, span: 20_000 }, 50_000, bounds).right).toBe(100_000);
  expect(panned({ right: 90_000, span: 20_000 }, -500_000, bounds).right).toBe(2000);
});

test('without data nothing is out of bounds but the future', () => {
  expect(clamp({ right: 5000, span: 2000 }, { ...bounds, oldest: NaN })).toEqual({ right: 5000, span: 2000 });
});
