import type { Graph } from '../live/topics';

/** A box with its size and, once it is laid out, its upper left corner, px. */
export interface Box {
  id: string;
  w: number;
  h: number;
  x: number;
  y: number;
}

export interface Point {
  x: number;
  y: number;
}

/** Where everything stands. */
export interface Layout {
  w: number;
  h: number;
  nodes: Map<string, Box>;
  stages: Box[]; // frames around the nodes of a stage
  edges: { from: string; to: string; points: Point[] }[]; // in the graph's order
}

export interface Sizes {
  node: { w: number; h: number };
  gap: { along: number; across: number }; // between layers, and within one
  frame: number; // between a stage's frame and its nodes
  down: boolean; // layers follow each other downwards, not to the right
  most?: number; // boxes in one layer; more take a layer of their own
}

type Link = [from: string, to: string];

/**
 * Lays the graph out in layers, along the way of events. The nodes of a stage stand in a
 * frame of their own, which is a box of the whole. The same graph always gives the same
 * layout, whatever it counts. Edges that lead backwards, which a plan does not have, are
 * drawn but do not count.
 */
export function layout(g: Graph, s: Sizes): Layout {
  const group = new Map(g.nodes.map((n) => [n.id, n.stage ? `stage ${n.stage}` : `node ${n.id}`]));
  const members = new Map<string, string[]>();
  for (const n of g.nodes) push(members, group.get(n.id) as string, n.id);
  const links = g.edges.map((e): Link => [e.from, e.to]).filter(([a, b]) => group.has(a) && group.has(b));
  const inner = new Map([...members].map(([id, nodes]) => [id, within(id, nodes, links, s)]));
  const across = links.map(([a, b]): Link => [group.get(a) as string, group.get(b) as string]).filter(([a, b]) => a !== b);
  const boxes = [...inner].map(([id, l]) => ({ id, w: l.w, h: l.h, x: 0, y: 0 }));
  const outer = arrange(boxes, across, s);
  return assemble(g, s, group, inner, outer);
}

function push<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

/** The layout of one stage, with a gate at its frame for each node that events come from or leave by. */
function within(group: string, nodes: string[], links: Link[], s: Sizes): Arranged {
  if (group.startsWith('node ')) {
    const box = { id: nodes[0] as string, w: s.node.w, h: s.node.h, x: 0, y: 0 };
    return { w: box.w, h: box.h, boxes: new Map([[box.id, box]]), ways: new Map() };
  }
  const own = new Set(nodes);
  const [gates, inside] = [new Set<string>(), [] as Link[]];
  for (const [a, b] of links) {
    if (own.has(a) && own.has(b)) inside.push([a, b]);
    else if (own.has(b)) inside.push([add(gates, `>${a}`), b]);
    else if (own.has(a)) inside.push([a, add(gates, `<${a}`)]);
  }
  const boxes = nodes.map((id) => ({ id, ...s.node, x: 0, y: 0 }));
  for (const id of gates) boxes.push({ id, w: 0, h: 0, x: 0, y: 0 });
  const arranged = arrange(boxes, inside, { ...s, gap: { ...s.gap, along: s.gap.along / 2 } }, '<');
  return framed(arranged, s);
}

function add(set: Set<string>, id: string): string {
  set.add(id);
  return id;
}

/** Puts a frame around what is arranged: gates lie on it. */
function framed(a: Arranged, s: Sizes): Arranged {
  const [dx, dy] = s.down ? [s.frame, 0] : [0, s.frame];
  const head = s.down ? 0 : 8; // for the frame's name
  for (const b of a.boxes.values()) [b.x, b.y] = [b.x + dx, b.y + dy + head];
  for (const way of a.ways.values()) for (const p of way) [p.x, p.y] = [p.x + dx, p.y + dy + head];
  return { ...a, w: a.w + 2 * dx, h: a.h + 2 * dy + head };
}

interface Arranged {
  w: number;
  h: number;
  boxes: Map<string, Box>;
  ways: Map<string, Point[]>; // by `from to`: where an edge passes the layers between
}

const wayOf = (a: string, b: string): string => `${a} ${b}`;

/** Lays boxes out in layers. Boxes whose id begins with last stand in the last layer. */
function arrange(boxes: Box[], links: Link[], s: Sizes, last = ''): Arranged {
  const forward = withoutCircles(boxes.map((b) => b.id), distinct(links));
  const rank = ranks(boxes, forward, last, s.most ?? Infinity);
  const layers: Box[][] = [];
  for (const b of boxes) (layers[rank.get(b.id) ?? 0] ??= []).push(b);
  const { all, chains } = withBends(layers, forward, rank, s);
  order(layers, all);
  return place(layers, all, chains, s, new Set(boxes.map((b) => b.id)));
}

function distinct(links: Link[]): Link[] {
  return [...new Map(links.map((l) => [wayOf(...l), l])).values()];
}

/** The links without those that close a circle. */
function withoutCircles(ids: string[], links: Link[]): Link[] {
  const [done, open, kept] = [new Set<string>(), new Set<string>(), [] as Link[]];
  const visit = (id: string): void => {
    open.add(id);
    for (const l of links) {
      if (l[0] !== id || open.has(l[1])) continue;
      kept.push(l);
      if (!done.has(l[1])) visit(l[1]);
    }
    open.delete(id);
    done.add(id);
  };
  for (const id of ids) if (!done.has(id)) visit(id);
  return kept;
}

/** The layer of each box: behind all that it reads, and where there is room. */
function ranks(boxes: Box[], links: Link[], last: string, most: number): Map<string, number> {
  const [rank, taken] = [new Map<string, number>(), new Map<number, number>()];
  const into = new Map<string, string[]>();
  for (const [a, b] of links) push(into, b, a);
  const size = new Map(boxes.map((b) => [b.id, b.w]));
  const of = (id: string): number => {
    let r = rank.get(id);
    if (r !== undefined) return r;
    r = (into.get(id) ?? []).reduce((most, a) => Math.max(most, of(a) + 1), 0);
    if (size.get(id)) {
      while ((taken.get(r) ?? 0) >= most) r++;
      taken.set(r, (taken.get(r) ?? 0) + 1);
    }
    rank.set(id, r);
    return r;
  };
  const deepest = Math.max(0, ...boxes.map((b) => of(b.id)));
  if (last) for (const b of boxes) if (b.id.startsWith(last)) rank.set(b.id, deepest);
  return rank;
}

const bend = 14; // px that a passing edge keeps free

/** Adds a small box to each layer that an edge passes, and returns the steps from layer to layer. */
function withBends(layers: Box[][], links: Link[], rank: Map<string, number>, s: Sizes): { all: Link[]; chains: Map<string, Box[]> } {
  const [all, chains] = [[] as Link[], new Map<string, Box[]>()];
  for (const [a, b] of links) {
    let from = a;
    const chain: Box[] = [];
    for (let r = (rank.get(a) ?? 0) + 1; r < (rank.get(b) ?? 0); r++) {
      const box = { id: `~${a} ${b} ${r}`, w: s.down ? bend : 0, h: s.down ? 0 : bend, x: 0, y: 0 };
      (layers[r] ??= []).push(box);
      chain.push(box);
      all.push([from, box.id]);
      from = box.id;
    }
    all.push([from, b]);
    chains.set(wayOf(a, b), chain);
  }
  return { all, chains };
}

const sweeps = 8;

/** Orders each layer by the mean place of its neighbours, to and fro, so that few edges cross. */
function order(layers: Box[][], links: Link[]): void {
  const [into, outOf] = [new Map<string, string[]>(), new Map<string, string[]>()];
  for (const [a, b] of links) {
    push(outOf, a, b);
    push(into, b, a);
  }
  for (let sweep = 0; sweep < sweeps; sweep++) {
    const forth = sweep % 2 === 0;
    const at = new Map<string, number>();
    for (const layer of layers) layer.forEach((b, i) => at.set(b.id, (i + 0.5) / layer.length));
    for (const layer of forth ? layers : [...layers].reverse()) {
      const mean = new Map(layer.map((b) => [b.id, meanOf((forth ? into : outOf).get(b.id), at) ?? at.get(b.id) ?? 0]));
      layer.sort((x, y) => (mean.get(x.id) ?? 0) - (mean.get(y.id) ?? 0));
      layer.forEach((b, i) => at.set(b.id, (i + 0.5) / layer.length));
    }
  }
}

function meanOf(ids: string[] | undefined, at: Map<string, number>): number | undefined {
  if (!ids?.length) return undefined;
  return ids.reduce((sum, id) => sum + (at.get(id) ?? 0), 0) / ids.length;
}

/** Gives every box its place, layer by layer, each as near to its neighbours as the others allow. */
function place(layers: Box[][], links: Link[], chains: Map<string, Box[]>, s: Sizes, real: Set<string>): Arranged {
  const [along, across, size] = s.down ? (['y', 'x', 'w'] as const) : (['x', 'y', 'h'] as const);
  const depth = s.down ? 'h' : 'w';
  let at = 0;
  for (const layer of layers) {
    const deep = Math.max(0, ...layer.map((b) => b[depth]));
    for (const b of layer) b[along] = at + (deep - b[depth]) / 2;
    at += deep + s.gap.along;
  }
  straighten(layers, links, across, size, s.gap.across);
  const boxes = layers.flat();
  const least = Math.min(...boxes.map((b) => b[across]));
  for (const b of boxes) b[across] -= least;
  const wide = Math.max(0, ...boxes.map((b) => b[across] + b[size]));
  const long = Math.max(0, at - s.gap.along);
  const middle = (b: Box): Point => ({ x: b.x + b.w / 2, y: b.y + b.h / 2 });
  return {
    w: s.down ? wide : long,
    h: s.down ? long : wide,
    boxes: new Map(boxes.filter((b) => real.has(b.id)).map((b) => [b.id, b])),
    ways: new Map([...chains].map(([way, chain]) => [way, chain.map(middle)])),
  };
}

/** Moves boxes towards the middle of their neighbours while their order and gaps stay. */
function straighten(layers: Box[][], links: Link[], across: 'x' | 'y', size: 'w' | 'h', gap: number): void {
  const byId = new Map(layers.flat().map((b) => [b.id, b]));
  const near = new Map<string, Box[]>();
  for (const [a, b] of links) {
    push(near, a, byId.get(b) as Box);
    push(near, b, byId.get(a) as Box);
  }
  for (const layer of layers) stack(layer, () => 0, across, size, gap);
  for (let sweep = 0; sweep < 2 * sweeps; sweep++) {
    for (const layer of sweep % 2 ? [...layers].reverse() : layers) {
      stack(layer, (b) => {
        const around = near.get(b.id);
        if (!around) return b[across];
        return around.reduce((sum, n) => sum + n[across] + n[size] / 2, 0) / around.length - b[size] / 2;
      }, across, size, gap);
    }
  }
}

/** Places a layer's boxes at their wishes; those that would overlap share a place about their mean. */
function stack(layer: Box[], wish: (b: Box) => number, across: 'x' | 'y', size: 'w' | 'h', gap: number): void {
  const blocks: { boxes: Box[]; at: number; wishes: number; long: number }[] = [];
  for (const b of layer) {
    let block = { boxes: [b], at: wish(b), wishes: wish(b), long: b[size] };
    for (let before = blocks.at(-1); before && before.at + before.long + gap > block.at; before = blocks.at(-1)) {
      blocks.pop();
      const shift = before.long + gap;
      const wishes = before.wishes + block.wishes - shift * block.boxes.length;
      const boxes = [...before.boxes, ...block.boxes];
      block = { boxes, wishes, at: wishes / boxes.length, long: shift + block.long };
    }
    blocks.push(block);
  }
  for (const block of blocks) {
    let at = block.at;
    for (const b of block.boxes) {
      b[across] = at;
      at += b[size] + gap;
    }
  }
}

/** Moves what is within the boxes to where these stand, and leads the edges through. */
function assemble(g: Graph, s: Sizes, group: Map<string, string>, inner: Map<string, Arranged>, outer: Arranged): Layout {
  const all: Layout = { w: outer.w, h: outer.h, nodes: new Map(), stages: [], edges: [] };
  for (const [id, a] of inner) {
    const at = outer.boxes.get(id) as Box;
    if (id.startsWith('stage ')) all.stages.push({ ...at, id: id.slice(6) });
    for (const b of a.boxes.values()) [b.x, b.y] = [b.x + at.x, b.y + at.y];
    for (const way of a.ways.values()) for (const p of way) [p.x, p.y] = [p.x + at.x, p.y + at.y];
    for (const n of g.nodes) if (group.get(n.id) === id) all.nodes.set(n.id, a.boxes.get(n.id) as Box);
  }
  for (const { from, to } of g.edges) {
    const points = group.has(from) && group.has(to) ? lead(from, to, s, group, inner, outer, all.nodes) : [];
    all.edges.push({ from, to, points });
  }
  return all;
}

function lead(from: string, to: string, s: Sizes, group: Map<string, string>, inner: Map<string, Arranged>, outer: Arranged, nodes: Map<string, Box>): Point[] {
  const [a, b] = [group.get(from) as string, group.get(to) as string];
  const [start, end] = [nodes.get(from) as Box, nodes.get(to) as Box];
  const first = s.down ? { x: start.x + start.w / 2, y: start.y + start.h } : { x: start.x + start.w, y: start.y + start.h / 2 };
  const final = s.down ? { x: end.x + end.w / 2, y: end.y } : { x: end.x, y: end.y + end.h / 2 };
  const one = inner.get(a) as Arranged;
  const other = inner.get(b) as Arranged;
  if (a === b) return [first, ...(one.ways.get(wayOf(from, to)) ?? []), final];
  const gate = (box: Box | undefined): Point[] => (box ? [{ x: box.x, y: box.y }] : []);
  return [
    first, ...(one.ways.get(wayOf(from, `<${from}`)) ?? []), ...gate(one.boxes.get(`<${from}`)),
    ...(outer.ways.get(wayOf(a, b)) ?? []),
    ...gate(other.boxes.get(`>${from}`)), ...(other.ways.get(wayOf(`>${from}`, to)) ?? []), final,
  ];
}

/** A smooth line through points, as the d of an SVG path, leaving and arriving along the layers. */
export function curve(points: readonly Point[], down: boolean): string {
  const r = (v: number): string => v.toFixed(1);
  return points
    .map((p, i) => {
      const q = points[i - 1];
      if (!q) return `M${r(p.x)} ${r(p.y)}`;
      const half = down ? (p.y - q.y) / 2 : (p.x - q.x) / 2;
      return down ? `C${r(q.x)} ${r(q.y + half)} ${r(p.x)} ${r(p.y - half)} ${r(p.x)} ${r(p.y)}` : `C${r(q.x + half)} ${r(q.y)} ${r(p.x - half)} ${r(p.y)} ${r(p.x)} ${r(p.y)}`;
    })
    .join('');
}
