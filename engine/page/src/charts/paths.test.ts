import { expect, it } from 'vitest';
import { Pen } from './paths';

// Draws points and returns the corners of the path.
function corners(...points: [number, number][]): string {
  const out: string[] = [];
  const path = { moveTo: (x: number, y: number) => out.push(`M${x},${y}`), lineTo: (x: number, y: number) => out.push(`${x},${y}`), rect: () => out.push('dot') };
  const pen = new Pen(path as unknown as Path2D);
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
