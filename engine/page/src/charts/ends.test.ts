import { beforeEach, expect, test, vi } from 'vitest';
import { Column } from '../live/column';
import type { Line } from '../live/store';
import { Ends } from './ends';
import { Box } from './paths';

beforeEach(() => {
  class Path {
    corners: string[] = [];
    moveTo = (x: number, y: number): void => void this.corners.push(`M${x},${y}`);
    lineTo = (x: number, y: number): void => void this.corners.push(`${x},${y}`);
    rect = (): void => void this.corners.push('dot');
  }
  vi.stubGlobal('Path2D', Path);
});

// A box of 100 x 100 pixels, of the times and values from 0 to 100.
const box = new Box({ bbox: { left: 0, top: 0, width: 100, height: 100 }, scales: { x: { min: 0, max: 100 }, y: { min: 0, max: 100 } } } as never);

function line(index: number, ...points: [number, number][]): Line {
  const column = new Column(1000, 100);
  for (const [t, v] of points) column.insert(t, v);
  return { key: `line ${index}`, unit: '', index, column, staged: undefined, still: undefined, hidden: false };
}

// Two lines that are drawn, and how their pieces look.
function drawn() {
  const lines = [line(0, [10, 10], [20, 20]), line(1, [10, 50])];
  const ends = new Ends();
  ends.set(lines);
  const take = () => ends.take(lines, box)?.map((p) => `${p.line.index}: ${(p.path as unknown as { corners: string[] }).corners.join(' ')}`);
  return { lines, first: lines[0] as Line, take, ends };
}

test('nothing new is no piece', () => {
  expect(drawn().take()).toEqual([]);
});

test('a piece begins at the last point that is drawn, and is taken once', () => {
  const { first, take } = drawn();
  first.column.insert(30, 40);
  first.column.insert(31, 50);
  expect(take()).toEqual(['0: M20,80 30,60 31,50']);
  expect(take()).toEqual([]);
  first.column.insert(32, 0);
  expect(take()).toEqual(['0: M31,50 32,100']);
});

test('a line that was empty, and one behind a break, begin anew', () => {
  const { lines, first, take, ends } = drawn();
  lines.push(line(2));
  ends.set(lines);
  lines[2]?.column.insert(30, 30);
  first.column.break();
  first.column.insert(40, 10);
  first.column.insert(50, 20);
  expect(take()).toEqual(['0: M20,80 dot M40,90 50,80', '2: M30,70 dot']);
});

test('what is more than a new piece has all drawn anew', () => {
  const changes: Record<string, (w: ReturnType<typeof drawn>) => void> = {
    'a late point': ({ first }) => first.column.insert(15, 1),
    'a history': ({ first }) => first.column.adopt(line(0, [10, 9], [20, 19]).column),
    'a value above the box': ({ first }) => first.column.insert(30, 101),
    'a value below the box': ({ first }) => first.column.insert(30, -1),
    'a line that is hidden': ({ first }) => void (first.hidden = true),
    'a pause': ({ first }) => void (first.still = first.column.keep()),
    'another line': ({ lines }) => void lines.push(line(2)),
  };
  for (const [name, change] of Object.entries(changes)) {
    const w = drawn();
    change(w);
    expect(w.take(), name).toBeUndefined();
    w.ends.set(w.lines);
    expect(w.take(), name).toEqual([]);
  }
});

test('what comes to a hidden line is no piece', () => {
  const { first, take, ends, lines } = drawn();
  first.hidden = true;
  ends.set(lines);
  first.column.insert(30, 500);
  expect(take()).toEqual([]);
});

test('where the point that was drawn has left since, a piece begins with the oldest there is', () => {
  const { first, take } = drawn();
  for (let i = 0; i < 150; i++) first.column.insert(30 + i / 10, 50); // 100 stay, of 8 pixels or so
  expect(take()?.[0]).toMatch(/^0: M35,50 .* 45,50$/);
});
