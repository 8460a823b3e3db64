import { columnOf, type Chart, type Line } from '../live/store';

const number = /^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/;
const formula = /^[=+\-@\t\r\n]/;
const byteOrderMark = '\ufeff'; // without it a spreadsheet takes Hangul for something else

/**
 * A text as a field of RFC 4180. One that a spreadsheet would take for a formula gets
 * an apostrophe before it; a plain number stays a number.
 */
export function field(text: string): string {
  const safe = formula.test(text) && !number.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

interface Point {
  t: number;
  v: number;
  line: Line;
}

function pointsOf(chart: Chart, from: number, to: number): Point[] {
  const points: Point[] = [];
  for (const line of chart.lines) {
    if (line.hidden) continue;
    const column = columnOf(line);
    for (let i = column.search(from); i < column.length && column.time(i) <= to; i++) {
      const v = column.value(i);
      if (!Number.isNaN(v)) points.push({ t: column.time(i), v, line });
    }
  }
  return points.sort((a, b) => a.t - b.t);
}

/**
 * The values of the lines that are drawn, of times from to to (ms, both included), as
 * CSV in order of time: time (UTC, ISO 8601), series, value, unit.
 */
export function csvOf(chart: Chart, from: number, to: number): string {
  const rows = pointsOf(chart, from, to).map((p) =>
    [new Date(p.t).toISOString(), field(p.line.key), String(p.v), field(p.line.unit)].join(','),
  );
  return byteOrderMark + ['time,series,value,unit', ...rows, ''].join('\r\n');
}
