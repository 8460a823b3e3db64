import type { Draw, Threshold } from '../live/store';

const reach = 0.6; // how far beyond the values, in their height, a threshold is still shown

/**
 * The range of the value axis for values from lo to hi: with a little room, with the
 * thresholds that are near, and with zero where bars stand on it. What is far away is
 * left out, so that it does not press the lines flat.
 */
export function yRange(lo: number, hi: number, draw: Draw, thresholds: readonly Threshold[]): [number, number] {
  if (!(lo <= hi)) return [0, 1];
  const zero = draw === 'bar' || (draw === 'area' && lo > 0 && lo < hi - lo);
  let [a, b] = zero ? [Math.min(lo, 0), Math.max(hi, 0)] : [lo, hi];
  const near = (b - a || Math.abs(b) * 0.1 || 1) * reach;
  const [from, to] = [a - near, b + near];
  for (const { at } of thresholds) if (at >= from && at <= to) [a, b] = [Math.min(a, at), Math.max(b, at)];
  const pad = b > a ? (b - a) * 0.08 : Math.abs(b) * 0.05 || 1;
  return [zero && a === 0 ? 0 : a - pad, zero && b === 0 ? 0 : b + pad];
}
