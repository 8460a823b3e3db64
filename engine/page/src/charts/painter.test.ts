import { expect, test } from 'vitest';
import { Painter } from './painter';

/** A painter whose frames and clock the test moves. */
function world() {
  let frame: ((now: number) => void) | undefined;
  let clock = 0;
  const painter = new Painter((f) => (frame = f), () => clock);
  return {
    painter,
    take: (ms: number): void => void (clock += ms),
    tick: (ms = 50): boolean => {
      const run = frame;
      frame = undefined;
      run?.((clock += ms));
      return run !== undefined;
    },
  };
}

test('slow charts take turns, so that a frame stays short', () => {
  const w = world();
  const drawn: number[] = [];
  for (const i of [0, 1, 2, 3]) {
    w.painter.add(() => {
      drawn.push(i);
      w.take(2); // ms
      return true;
    });
  }
  w.tick();
  expect(drawn.length).toBe(2);
  w.tick();
  expect([...drawn].sort()).toEqual([0, 1, 2, 3]);
});

test('a whole chart is drawn no more often than the eye needs, what is new of it in each frame', () => {
  const w = world();
  let [asked, wholes] = [0, 0];
  w.painter.add((whole) => {
    asked++;
    if (whole) wholes++;
    return whole;
  });
  for (let i = 0; i < 100; i++) w.tick(10);
  expect(asked).toBe(100);
  expect(wholes).toBe(25);
});

test('a chart that had nothing to draw as a whole need not wait when it has', () => {
  const w = world();
  let news = false;
  let n = 0;
  w.painter.add((whole) => whole && news && ++n > 0);
  w.tick(10);
  w.tick(10);
  news = true;
  w.tick(10);
  expect(n).toBe(1);
});

test('it stops when there is nothing to draw, and begins again', () => {
  const w = world();
  let n = 0;
  const draw = () => ++n > 0;
  const end = w.painter.add(draw);
  w.tick();
  end();
  w.tick();
  expect(w.tick()).toBe(false);
  w.painter.add(draw);
  w.tick();
  expect(n).toBe(2);
});
