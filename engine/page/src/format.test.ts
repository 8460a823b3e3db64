import { expect, it } from 'vitest';
import { look } from './charts/colors';
import { axisNumber, axisTime, clock, count, digits, number, serverOffset, stamp, zone, zoned, zoneName } from './format';

it('shows the digits that tell', () => {
  expect(number(41.25, undefined, 0)).toBe('41.250');
  expect(number(41.256789, 1, 0)).toBe('41.3');
  expect(number(473.6123, undefined, 320)).toBe('473.6');
  expect(number(0, undefined, 0)).toBe('0.00');
  expect(number(27.2, undefined, 0.5, digits(27.2))).toBe('27.2');
  expect(number(27, undefined, 0.5, digits(27.25))).toBe('27.00');
  expect([5, 0.125, 1e-9].map(digits)).toEqual([0, 3, 12]);
  expect(number(12345678, undefined, 10)).toBe('1.235e+7');
  expect(number(0.00001234, undefined, 0)).toBe('1.234e-5');
});

it('labels an axis with the digits of its steps', () => {
  expect([100, 0, -50].map((v) => axisNumber(v, 50))).toEqual(['100', '0', '-50']);
  expect(axisNumber(4.25, 0.05)).toBe('4.25');
  expect(axisNumber(-1e-17, 0.1)).toBe('0.0');
  expect(axisNumber(2_500_000, 500_000)).toBe('2.50e+6');
});

it('groups large counts', () => {
  expect(count(1234567.4)).toBe('1\u202f234\u202f567');
});

it('gives the first 32 lines of a chart each a look of its own', () => {
  for (const dark of [true, false]) {
    const looks = Array.from({ length: 32 }, (_, i) => JSON.stringify(look(i, dark)));
    expect(new Set(looks).size).toBe(32);
  }
});

const noon = Date.UTC(2026, 0, 31, 12, 34, 56, 7);

it('shows times in the zone that is chosen', () => {
  zone.value = 'utc';
  expect(clock(noon)).toBe('12:34:56');
  expect(stamp(noon)).toBe('2026-01-31 12:34:56.007');
  expect(zoneName(noon)).toBe('UTC');
  zone.value = 'server';
  serverOffset.value = 720;
  expect(stamp(noon)).toBe('2026-02-01 00:34:56.007');
  expect(axisTime(noon - 34 * 60_000 - 56_007, 60_000)).toBe('02-01');
  expect(axisTime(noon, 60_000)).toBe('00:34');
  expect([zoned(noon).getDate(), zoned(noon).getHours()]).toEqual([1, 0]);
  serverOffset.value = -210;
  expect(zoneName(noon)).toBe('UTC−3:30');
  serverOffset.value = undefined;
  expect(clock(noon)).toBe(((zone.value = 'local'), clock(noon)));
});
