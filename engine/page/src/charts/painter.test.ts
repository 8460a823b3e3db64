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
    });
  }
  w.tick();
  expect(drawn.length).toBe(2);
  w.tick();
  expect([...drawn].sort()).toEqual([0, 1, 2, 3]);
});

test('a chart is drawn no more often than the eye needs', () => {
  const w = world();
  let n = 0;
  w.painter.add(() => void n++);
  for (let i = 0; i < 100; i++) w.tick(10);
  expect(n).toBe(25);
});

test('it stops when there is nothing to draw, and begins again', () => {
  const w = world();
  let n = 0;
  const end = w.painter.add(() => void n++);
  w.tick();
  end();
  w.tick();
  expect(w.tick()).toBe(false);
  w.painter.add(() => void n++);
  w.tick();
  expect(n).toBe(2);
});
