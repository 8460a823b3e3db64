import { columnOf, type Band, type Chart, type Line, type Severity, type Threshold } from '../live/store';
import type { Mark } from '../live/topics';

/** What a value means: how bad it is, and the name of that. */
export interface Level {
  severity: Severity;
  label: string;
}

/** The limits of a chart. */
export type Limits = Pick<Chart, 'thresholds' | 'bands'>;

const weight: Record<Severity, number> = { ok: 1, warn: 2, alarm: 3 };

export function isBeyond(v: number, t: Threshold): boolean {
  return t.side === 'below' ? v <= t.at : v >= t.at;
}

/** The name of a threshold: its label and its limit. */
export function nameOf(t: Threshold): string {
  const limit = `${t.side === 'below' ? '≤' : '≥'} ${t.at}`;
  return t.label ? `${t.label} (${limit})` : limit;
}

export function bandOf(v: number, bands: readonly Band[]): Band | undefined {
  return bands.find((b) => v >= b.from && v < b.to);
}

/** The worst that the limits say of v; undefined if they say nothing. */
export function levelOf(v: number, limits: Limits): Level | undefined {
  let worst: Level | undefined;
  const take = (severity: Severity, label: string): void => {
    if (!worst || weight[severity] > weight[worst.severity]) worst = { severity, label };
  };
  for (const t of limits.thresholds) if (isBeyond(v, t)) take(t.severity, nameOf(t));
  for (const b of limits.bands) if (v >= b.from && v < b.to) take(b.severity, b.label ?? '');
  return worst;
}

const mostAlarms = 32; // of one chart

/** Whether a chart knows alarms at all. */
function knowsAlarms(limits: Limits): boolean {
  return [...limits.thresholds, ...limits.bands].some((l) => l.severity === 'alarm');
}

/** The newest times at which values of a chart became an alarm, oldest first, as marks. */
export function alarmsOf(chart: Chart): Mark[] {
  if (!knowsAlarms(chart)) return [];
  return chart.lines
    .filter((l) => !l.hidden)
    .flatMap((l) => crossings(chart, l))
    .sort((a, b) => a.time - b.time)
    .slice(-mostAlarms);
}

function crossings(chart: Chart, line: Line): Mark[] {
  const out: Mark[] = [];
  const c = columnOf(line);
  let after = NaN; // the value behind, in time
  let at = 0;
  for (let i = c.length - 1; i >= 0 && out.length < mostAlarms; i--) {
    const v = c.value(i);
    if (Number.isNaN(v)) continue;
    const level = levelOf(after, chart);
    if (level?.severity === 'alarm' && levelOf(v, chart)?.severity !== 'alarm') out.push(alarm(chart, line, at, after, level));
    [after, at] = [v, c.time(i)];
  }
  return out;
}

function alarm(chart: Chart, line: Line, time: number, v: number, level: Level): Mark {
  const of = [chart.title, line.key].filter(Boolean).join(' · ');
  const value = [String(v), line.unit].filter(Boolean).join(' ');
  return { id: `${chart.id} ${line.key} ${time}`, time, kind: 'alarm', text: `${of}: ${value}, ${level.label}` };
}
