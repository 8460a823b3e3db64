import { expect, it, vi } from 'vitest';

vi.stubGlobal('matchMedia', () => ({ matches: false, addEventListener: () => {} }));
const { arrange, putAt } = await import('./order');
const { nameOf } = await import('../frame/layout');

const charts = ['a', 'b', 'c', 'd'].map((id) => ({ id })) as never[];
const ids = (list: unknown[]): string => list.map((c) => (c as { id: string }).id).join('');

it('shows charts as they were put in order, new ones behind', () => {
  expect(ids(arrange(charts, []))).toBe('abcd');
  expect(ids(arrange(charts, ['d', 'gone', 'b'].map((c) => nameOf(c))))).toBe('dbac');
});

it('puts one where another is', () => {
  expect(putAt([1, 2, 3, 4], 1, 3)).toEqual([2, 3, 1, 4]);
  expect(putAt([1, 2, 3, 4], 4, 2)).toEqual([1, 4, 2, 3]);
});
