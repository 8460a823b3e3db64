import { expect, test } from 'vitest';
import type { Graph } from '../live/topics';
import { curve, layout, type Box, type Layout, type Sizes } from './layout';

const sizes: Sizes = { node: { w: 100, h: 40 }, gap: { along: 60, across: 20 }, frame: 20, down: false };

/** A graph from words such as `a>b`, or `a>b:stream`, and stages such as `s=a,b`. */
function graphOf(edges: string, stages = ''): Graph {
  const stageOf = new Map(stages.split(' ').filter(Boolean).flatMap((s) => (s.split('=')[1] ?? '').split(',').map((id) => [id, s.split('=')[0] ?? ''] as const)));
  const list = edges.split(' ').map((e) => e.split(/[>:]/));
  const ids = [...new Set(list.flatMap(([from, to]) => [from ?? '', to ?? '']))];
  return {
    pipeline: 'p',
    nodes: ids.map((id) => ({ id, kind: 'transform', type: 'json', stage: stageOf.get(id) ?? '' })),
    edges: list.map(([from, to, stream]) => ({ from: from ?? '', to: to ?? '', stream: stream ?? '' })),
  };
}

const overlap = (a: Box, b: Box): boolean => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
const holds = (a: Box, b: Box): boolean => b.x >= a.x && b.y >= a.y && b.x + b.w <= a.x + a.w && b.y + b.h <= a.y + a.h;

function check(g: Graph, l: Layout): void {
  const boxes = [...l.nodes.values()];
  boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b) => expect(overlap(a, b), `${a.id} on ${b.id}`).toBe(false)));
  for (const s of l.stages) {
    for (const n of g.nodes) expect(n.stage === s.id ? holds(s, l.nodes.get(n.id) as Box) : !overlap(s, l.nodes.get(n.id) as Box), `${n.id} and stage ${s.id}`).toBe(true);
  }
  for (const b of boxes) expect(holds({ id: '', x: -0.01, y: -0.01, w: l.w + 0.02, h: l.h + 0.02 }, b), `${b.id} outside`).toBe(true);
}

const plants = graphOf('p1>r p4>r p2>c p3>t r>s c>s t>s s>rows:s s>live:s', 'r=r,c,t,s');

test.each([false, true])('nodes do not overlap, and stages hold their own alone (down: %s)', (down) => {
  const graphs = [
    plants,
    graphOf('a>b:a b>c b>d c>e d>e e>f:e a>g:a g>h:g h>f:h', 's=b,c,d,e t=g,h'),
    graphOf('a>x:a a>y:a a>z:a x>q:x y>q:y z>q:z a>q:a', ''),
  ];
  for (const g of graphs) check(g, layout(g, { ...sizes, down }));
});

test('a narrow page has few nodes in a row, and nothing overlaps', () => {
  const l = layout(plants, { ...sizes, down: true, most: 2 });
  check(plants, l);
  expect(l.w).toBeLessThan(3.5 * sizes.node.w);
});

test('events go to the right, and downwards where that is asked for', () => {
  for (const down of [false, true]) {
    const l = layout(plants, { ...sizes, down });
    for (const e of l.edges) {
      const [a, b] = [l.nodes.get(e.from) as Box, l.nodes.get(e.to) as Box];
      expect(down ? b.y >= a.y + a.h : b.x >= a.x + a.w, `${e.from} to ${e.to}`).toBe(true);
      expect(e.points.length).toBeGreaterThan(1);
    }
  }
});

test('lines end at their nodes, and a line over several layers keeps off those between', () => {
  const g = graphOf('a>b:a b>c:b a>c:a');
  const l = layout(g, sizes);
  const [a, b, c] = ['a', 'b', 'c'].map((id) => l.nodes.get(id) as Box) as [Box, Box, Box];
  const way = l.edges[2]?.points ?? [];
  expect(way[0]).toEqual({ x: a.x + a.w, y: a.y + a.h / 2 });
  expect(way.at(-1)).toEqual({ x: c.x, y: c.y + c.h / 2 });
  const between = way[1] as { x: number; y: number };
  expect(between.y < b.y || between.y > b.y + b.h).toBe(true);
});

test('the same graph gives the same layout, and one line is straight', () => {
  expect(layout(plants, sizes)).toEqual(layout(structuredClone(plants), sizes));
  const l = layout(graphOf('a>b:a b>c:b'), sizes);
  expect(new Set([...l.nodes.values()].map((b) => b.y)).size).toBe(1);
});

test('circles and edges to nowhere do no harm', () => {
  check(plants, layout(plants, sizes));
  const round = graphOf('a>b:a b>c:b c>a:c a>a:a');
  check(round, layout(round, sizes));
  const torn = { ...round, edges: [...round.edges, { from: 'a', to: 'gone', stream: 'a' }] };
  expect(layout(torn, sizes).edges.at(-1)?.points).toEqual([]);
});

test('two hundred nodes are laid out without overlap', () => {
  const edges = Array.from({ length: 199 }, (_, i) => `n${Math.floor(i / 2)}>n${i + 1}:s`).join(' ');
  const g = graphOf(edges);
  check(g, layout(g, sizes));
});

test('a curve leaves and arrives along the layers', () => {
  const points = [{ x: 0, y: 0 }, { x: 10, y: 20 }];
  expect(curve(points, false)).toBe('M0.0 0.0C5.0 0.0 5.0 20.0 10.0 20.0');
  expect(curve(points, true)).toBe('M0.0 0.0C0.0 10.0 10.0 10.0 10.0 20.0');
});
