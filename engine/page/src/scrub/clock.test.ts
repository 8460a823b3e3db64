import { describe, expect, test } from 'vitest';
import { field, fraction, moved, pieceOf, pieces, played, replayName, stepOf, timeAt, typed, within } from './clock';

const minute = 60_000;
const hour = { from: 1_800_000_000_000, to: 1_800_003_600_000 };

test('a time is kept within its stretch, and is where its fraction says', () => {
  expect(within(0, hour)).toBe(hour.from);
  expect(within(hour.to + 1, hour)).toBe(hour.to);
  for (const part of [0, 0.25, 0.5, 1]) expect(fraction(timeAt(part, hour), hour)).toBeCloseTo(part, 6);
  expect(timeAt(2, hour)).toBe(hour.to);
  expect(fraction(5, { from: 5, to: 5 })).toBe(1); // nothing is kept: live
});

test('a step is a round sixtieth of what is shown', () => {
  expect([1, 10, 60, 1440].map((n) => stepOf(n * minute))).toEqual([1000, 10_000, 60_000, 1_800_000]);
});

describe('keys', () => {
  const at = hour.from + 30 * minute;
  test.each([
    ['ArrowLeft', false, at - 10_000],
    ['ArrowRight', true, at + 100_000],
    ['PageDown', false, at - 10 * minute],
    ['Home', false, hour.from],
    ['End', true, hour.to],
    ['x', false, undefined],
  ])('%s (shift %s)', (key, shift, want) => {
    expect(moved(key, shift, at, 10 * minute, hour)).toBe(want);
  });
  test('do not leave the stretch', () => {
    expect(moved('ArrowLeft', true, hour.from + 5, 10 * minute, hour)).toBe(hour.from);
  });
});

describe('pieces', () => {
  const span = 10 * minute;
  const length = pieceOf(span);
  test('cover what is shown, the newest first', () => {
    const at = hour.from + 30 * minute;
    const list = pieces(at, span, length, 1, hour);
    expect(list[0]).toBe(Math.floor(at / length));
    for (let t = at - span; t <= at; t += 1000) expect(list).toContain(Math.floor(t / length));
    expect(new Set(list).size).toBe(list.length);
  });
  test('reach ahead by what is played soon, and not beyond the stretch', () => {
    const at = hour.from + 30 * minute;
    expect(Math.max(...pieces(at, span, length, 100, hour)) * length).toBeGreaterThanOrEqual(at + 300_000 - length);
    expect(Math.max(...pieces(hour.to, span, length, 100, hour)) * length).toBeLessThanOrEqual(hour.to);
    expect(Math.min(...pieces(hour.from, span, length, 1, hour))).toBe(Math.floor(hour.from / length));
  });
});

test('playing goes at its speed, stops at the limit and never goes back', () => {
  expect(played(1000, 250, 20, 1e9)).toBe(6000);
  expect(played(1000, 250, 20, 2000)).toBe(2000);
  expect(played(1000, 250, 20, 500)).toBe(1000);
});

test('typed times are read as they are written', () => {
  expect(typed(field(1_795_470_999_000))).toBe(1_795_470_999_000);
  expect(typed(field(1_795_470_999_000).slice(0, 16))).toBe(1_795_470_960_000);
  expect(typed('soon')).toBeUndefined();
  expect(typed('')).toBeUndefined();
});

test('the name of a replay is one that the engine takes', () => {
  expect(replayName(Date.now())).toMatch(/^[a-z][a-z0-9_]{0,19}$/);
});
