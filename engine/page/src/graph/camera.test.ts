import { expect, test } from 'vitest';
import { into, nextOf, whole, zoomed } from './camera';

const size = { w: 400, h: 300 };

test('all of a picture is shown, in the middle and not too large', () => {
  expect(whole({ w: 100, h: 100 }, size)).toEqual({ k: 1, x: 150, y: 100 });
  const v = whole({ w: 4000, h: 100 }, size);
  expect(v.k).toBeCloseTo(0.2);
});

test('scaling leaves what is under the pointer, within bounds', () => {
  const at = { x: 100, y: 50 };
  const v = zoomed({ x: 20, y: 10, k: 1 }, at, 2);
  expect([(at.x - v.x) / v.k, (at.y - v.y) / v.k]).toEqual([80, 40]);
  expect(zoomed(v, at, 1000).k).toBe(2.5);
  expect(zoomed(v, at, 0.0001).k).toBe(0.2);
});

test('a place that is out of sight is brought into it, one in sight stays', () => {
  expect(into({ x: 0, y: 0, k: 1 }, { x: 200, y: 150 }, size)).toEqual({ x: 0, y: 0, k: 1 });
  const v = into({ x: 0, y: 0, k: 1 }, { x: 1000, y: -50 }, size);
  expect([1000 + v.x, -50 + v.y]).toEqual([280, 100]);
});

test('arrow keys go to what lies next in their direction', () => {
  const places = new Map(Object.entries({ a: { x: 0, y: 0 }, b: { x: 100, y: 10 }, c: { x: 60, y: 90 }, d: { x: 0, y: 50 } }));
  expect(nextOf(places, 'a', 'ArrowRight')).toBe('b');
  expect(nextOf(places, 'a', 'ArrowDown')).toBe('d');
  expect(nextOf(places, 'b', 'ArrowLeft')).toBe('a');
  expect(nextOf(places, 'a', 'ArrowUp')).toBeUndefined();
  expect(nextOf(places, 'x', 'ArrowUp')).toBeUndefined();
});
