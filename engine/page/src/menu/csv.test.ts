import { expect, it } from 'vitest';
import { Column } from '../live/column';
import type { Chart, Line } from '../live/store';
import { csvOf, field } from './csv';
import { fileName } from './save';

it('keeps a spreadsheet from running a text, and leaves numbers', () => {
  const cases: Record<string, string> = {
    '=1+1': "'=1+1",
    '+cmd|x': "'+cmd|x",
    '-2+3': "'-2+3",
    '@SUM(A1)': "'@SUM(A1)",
    '\t=1': "'\t=1",
    '\r=1': '"\'\r=1"',
    '-5': '-5',
    '+1.5e-3': '+1.5e-3',
    '-': "'-",
    'a=b': 'a=b',
    '': '',
    'a,b': '"a,b"',
    'say "hi"': '"say ""hi"""',
    '=HYPERLINK("x","y")': '"\'=HYPERLINK(""x"",""y"")"',
    '압력': '압력',
  };
  for (const [text, want] of Object.entries(cases)) expect(field(text)).toBe(want);
});

function line(key: string, hidden: boolean, ...points: [number, number][]): Line {
  const column = new Column(1e6, 100);
  for (const [t, v] of points) column.insert(t, v);
  return { key, unit: '°C', index: 0, column, staged: undefined, still: undefined, hidden };
}

it('has what is in view of the lines that are drawn, in order of time', () => {
  const lines = [line('a', false, [1000, 1], [2000, 2], [3000, NaN], [9000, 9]), line('b', false, [1500, -0.5]), line('c', true, [1600, 7])];
  expect(csvOf({ lines } as Chart, 1000, 3000)).toBe(
    '\ufefftime,series,value,unit\r\n1970-01-01T00:00:01.000Z,a,1,°C\r\n1970-01-01T00:00:01.500Z,b,-0.5,°C\r\n1970-01-01T00:00:02.000Z,a,2,°C\r\n',
  );
});

it('names files after charts, without what a path could be made of', () => {
  const at = Date.UTC(2026, 0, 2, 3, 4, 5);
  expect(fileName('압력 1/2: "A"', at, 'csv')).toBe('압력_1_2_A-20260102T030405Z.csv');
  expect(fileName('../..', at, 'png')).toBe('chart-20260102T030405Z.png');
  expect(fileName('x'.repeat(500), at, 'png').length).toBeLessThan(100);
});
