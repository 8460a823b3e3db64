import type { Column } from '../live/column';
import type { Band, Severity } from '../live/store';
import { bandOf } from './levels';

/** A stretch of time, ms, in which a line is in one state. */
export interface Run {
  from: number;
  to: number;
  name: string;
  severity: Severity | undefined;
}

/** The state that a value is: its band's name, else the value itself. */
export function stateOf(v: number, bands: readonly Band[]): Pick<Run, 'name' | 'severity'> {
  const band = bandOf(v, bands);
  return { name: band?.label || String(Math.round(v * 1e6) / 1e6), severity: band?.severity };
}

/**
 * The states of a line from time a to b. A state holds until another begins, the last
 * one until b; a break of the line ends it.
 */
export function runsOf(column: Column, a: number, b: number, bands: readonly Band[]): Run[] {
  const out: Run[] = [];
  let open: Run | undefined;
  for (let i = Math.max(column.search(a) - 1, 0); i < column.length && column.time(i) <= b; i++) {
    const t = column.time(i);
    if (open) open.to = t;
    const v = column.value(i);
    const state = Number.isNaN(v) ? undefined : stateOf(v, bands);
    if (state && state.name === open?.name) continue;
    open = state && { from: t, to: t, ...state };
    if (open) out.push(open);
  }
  if (open) open.to = b;
  return out.filter((r) => r.to > a).map((r) => ({ ...r, from: Math.max(r.from, a) }));
}
