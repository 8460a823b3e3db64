import type { Column } from '../live/column';

/** The values of one stretch of time, which begins at t, ms. */
export interface Bucket {
  t: number;
  min: number;
  avg: number;
  max: number;
  gap: boolean; // the line is broken before it
}

/**
 * The values from time a to b in stretches of step ms, which begin at multiples of
 * step; a stretch without values is left out.
 */
export function reduce(column: Column, a: number, b: number, step: number): Bucket[] {
  const out: Bucket[] = [];
  let count = 0;
  let gap = false;
  for (let i = column.search(Math.floor(a / step) * step); i < column.length && column.time(i) <= b; i++) {
    const v = column.value(i);
    if (Number.isNaN(v)) {
      gap = true;
      continue;
    }
    const t = Math.floor(column.time(i) / step) * step;
    const last = out.at(-1);
    if (last?.t === t) count = widen(last, v, count);
    else {
      out.push({ t, min: v, avg: v, max: v, gap });
      count = 1;
    }
    gap = false;
  }
  return out;
}

function widen(b: Bucket, v: number, count: number): number {
  b.min = Math.min(b.min, v);
  b.max = Math.max(b.max, v);
  b.avg += (v - b.avg) / (count + 1);
  return count + 1;
}

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;

/** Lengths of time that people count in, ms. */
export const timeSteps = [
  ...[1, 2, 5, 10, 20, 30].map((n) => n * second),
  ...[1, 2, 5, 10, 20, 30].map((n) => n * minute),
  ...[1, 2, 3, 6, 12, 24, 48, 168].map((n) => n * hour),
];

/** How long a bar's stretch of time is, ms, if span ms may have at most so many of them. */
export function barStep(span: number, most: number): number {
  return timeSteps.find((s) => span / s <= most) ?? (timeSteps.at(-1) as number);
}
