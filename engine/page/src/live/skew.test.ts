import { expect, it } from 'vitest';
import { Skew } from './skew';

it('takes the message that came fastest, of the last six', () => {
  const s = new Skew();
  s.measure(9000, 1000);
  expect(s.ms).toBe(0);
  s.measure(2000, 5000);
  expect(s.ms).toBe(8000);
  for (let i = 0; i < 4; i++) s.measure(1000, 1500 + i);
  expect(s.ms).toBe(8000);
  s.measure(1000, 1400);
  expect(s.ms).toBe(-400);
});
