import { expect, test } from 'vitest';
import { held, hold, release } from './time';

test('charts stand still at a time until they are released', () => {
  hold(1000);
  hold(NaN); // the time of a chart without data
  expect(held.value).toBe(1000);
  release();
  expect(held.value).toBeUndefined();
});
