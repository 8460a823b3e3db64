import { expect, test } from 'vitest';
import { PastColumn } from './column';

test('a column shows what it has up to a time, and keeps the rest', () => {
  const c = new PastColumn();
  for (const t of [10, 20, 30, 30, 40]) c.insert(t, t / 10);
  c.show(30);
  expect([c.length, c.newest, c.last()?.v]).toEqual([4, 30, 3]);
  expect(c.extent(0, 100)).toEqual([1, 3]);
  expect(c.nearest(39)?.t).toBe(30);
  c.show(5);
  expect([c.length, c.last()]).toEqual([0, undefined]);
  c.show(1000);
  expect(c.newest).toBe(40);
});

test('what it shows otherwise is no growth at its end', () => {
  const c = new PastColumn();
  for (const t of [10, 20, 30]) c.insert(t, t);
  c.show(10);
  const { rewritten } = c;
  c.show(19);
  expect(c.rewritten).toBe(rewritten);
  c.show(20);
  expect(c.rewritten).toBeGreaterThan(rewritten);
});

test('it keeps everything, however much and in whatever order it comes', () => {
  const c = new PastColumn();
  for (let i = 0; i < 5000; i++) c.insert((i * 7919) % 5000, i);
  c.show(4999);
  expect(c.length).toBe(5000);
  for (let i = 0; i < 5000; i++) expect(c.time(i)).toBe(i);
});
