import { expect, it } from 'vitest';
import { Column } from '../live/column';
import { Box, follow, Pen } from './paths';

// A path that notes its corners.
function recorder(out: string[]): Path2D {
  const path = { moveTo: (x: number, y: number) => out.push(`M${x},${y}`), lineTo: (x: number, y: number) => out.push(`${x},${y}`), rect: () => out.push('dot') };
  return path as unknown as Path2D;
}

// Draws points and returns the corners of the path.
function corners(...points: [number, number][]): string {
  const out: string[] = [];
  const pen = new Pen(recorder(out));
  for (const [x, y] of points) pen.to(x, y);
  pen.lift();
  return out.join(' ');
}

it('goes through a pixel column from its first to its last point, by its least and greatest', () => {
  expect(corners([1, 5], [1, 2], [1, 9], [1, 6], [2, 0])).toBe('M1,5 1,2 1,9 1,6 2,0');
});

it('goes no stretch twice', () => {
  expect(corners([1, 5], [1, 6], [1, 7], [2, 8])).toBe('M1,5 1,7 2,8');
  expect(corners([1, 5], [1, 3], [1, 4], [2, 8])).toBe('M1,5 1,3 1,4 2,8');
  expect(corners([1, 5], [1, 9], [1, 5], [2, 8])).toBe('M1,5 1,9 1,5 2,8');
  expect(corners([1, 5], [1, 5], [2, 8])).toBe('M1,5 2,8');
});

it('makes a point on its own a mark', () => {
  expect(corners([1, 5])).toBe('M1,5 dot');
});

// The corners that a line gets, if every point of it goes to the pen.
function plainly(c: Column, box: Box, step: boolean): string {
  const out: string[] = [];
  const pen = new Pen(recorder(out));
  let y = NaN;
  for (let i = Math.max(c.search(box.from) - 1, 0); i < c.length; i++) {
    if (Number.isNaN(c.value(i))) {
      pen.lift();
      y = NaN;
      continue;
    }
    const x = Math.round(box.x(c.time(i)));
    if (step && !Number.isNaN(y)) pen.to(x, y);
    y = box.y(c.value(i));
    pen.to(x, y);
  }
  if (step && !Number.isNaN(y)) pen.to(Math.max(pen.x, Math.round(box.x(box.to))), y);
  pen.lift();
  return out.join(' ');
}

it('leaves out what lies between the extremes of a pixel column, and nothing else', () => {
  let seed = 11;
  const random = (n: number): number => (seed = (seed * 48271) % 2147483647) % n;
  const box = new Box({ bbox: { left: 3, top: 0, width: 60, height: 100 }, scales: { x: { min: 500, max: 1500 }, y: { min: 0, max: 100 } } } as never);
  for (let round = 0; round < 200; round++) {
    const c = new Column(Infinity, 1000);
    for (let t = random(900); t <= 1500; t += random(round % 2 ? 9 : 60)) c.insert(t, random(20) ? random(100) : NaN);
    for (const step of [false, true]) {
      const out: string[] = [];
      follow(c, box, step, new Pen(recorder(out)));
      expect(out.join(' ')).toBe(plainly(c, box, step));
    }
  }
});
