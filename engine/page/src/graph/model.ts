import type { Graph } from '../live/topics';

/** What the engine counts (event `stats`), as far as this view reads it. */
export interface Stats {
  time: string;
  generation: string;
  started: string;
  uptime_seconds: number;
  reasons: { component: string; reason: string }[];
  holds: { stage: string; stream: string; lane: number; reason: string }[];
  nodes: Counted[];
  readers: { reader: string; stream: string; lanes: { lane: number; events: number; seconds: number }[] }[];
  log?: { bytes: number; max_bytes: number };
}

export interface Counted {
  id: string;
  in?: number;
  out?: number;
  rejected?: number;
  retries?: number;
  dead_letters?: number;
  plugin?: Program;
}

/** What a plugin node runs. */
export interface Program {
  runs: string; // name@version#hash8
  restarts: number;
  spare?: string;
  reason?: string;
}

/** How freely events pass, worst last. */
export const pressures = ['unknown', 'ok', 'waiting', 'held', 'full'] as const;
export type Pressure = (typeof pressures)[number];

export interface Lag {
  events: number;
  seconds: number;
}

/** One node or edge with all that is known of it just now; undefined is not known. */
export interface Item {
  key: string; // n:ID, or e:FROM>TO
  name: string;
  pressure: Pressure;
  why: string[]; // reasons of the engine, for people
  lag?: Lag | undefined;
  out?: number | undefined; // events a second handed on; of an edge, that come over it
}

export interface NodeItem extends Item {
  id: string;
  kind: string;
  type: string;
  stage: string;
  in?: number | undefined; // events a second
  counted: Counted;
}

export interface EdgeItem extends Item {
  from: string;
  to: string;
  stream: string; // '' if the events rest in none
}

export const nodeKey = (id: string): string => `n:${id}`;
export const edgeKey = (from: string, to: string): string => `e:${from}>${to}`;

/** Seconds behind from which events count as waiting. */
export const waitingFrom = 2;

const averaged = 5; // s over which rates are taken

/** Rates per second of what nodes count, over the last few answers of one engine. */
export class Rates {
  private seen: Stats[] = [];

  take(s: Stats): void {
    const last = this.seen.at(-1);
    if (last && (last.started !== s.started || last.uptime_seconds > s.uptime_seconds)) this.seen = [];
    if (last && last === this.seen.at(-1) && last.uptime_seconds === s.uptime_seconds) return;
    this.seen.push(s);
    while (this.seen.length > 2 && s.uptime_seconds - (this.seen[0]?.uptime_seconds ?? 0) > averaged) this.seen.shift();
  }

  of(id: string, what: 'in' | 'out'): number | undefined {
    const first = this.seen[0];
    const last = this.seen.at(-1);
    if (!first || !last || first === last) return undefined;
    const [a, b] = [first, last].map((s) => s.nodes.find((n) => n.id === id)?.[what]);
    if (a === undefined || b === undefined) return undefined;
    return Math.max(b - a, 0) / (last.uptime_seconds - first.uptime_seconds);
  }
}

/** The lag of a reader in a stream: all events of its lanes, and the longest wait. */
function lagOf(s: Stats | undefined, reader: string, stream: string): Lag | undefined {
  const found = s?.readers.find((r) => r.reader === `${reader}@${s.generation}` && r.stream === stream);
  if (!found) return undefined;
  return {
    events: found.lanes.reduce((sum, l) => sum + l.events, 0),
    seconds: found.lanes.reduce((most, l) => Math.max(most, l.seconds), 0),
  };
}

const worse = (a: Pressure, b: Pressure): Pressure => (pressures.indexOf(a) > pressures.indexOf(b) ? a : b);

const isFull = (s: Stats): boolean => !!s.log && s.log.max_bytes > 0 && s.log.bytes >= s.log.max_bytes;

/** Puts the graph and what is counted of it together. */
export function items(g: Graph, s: Stats | undefined, rates: Rates): { nodes: NodeItem[]; edges: EdgeItem[] } {
  const readers = new Map(g.nodes.map((n) => [n.id, n.stage || n.id]));
  const sources = new Set(g.nodes.filter((n) => n.kind === 'source').map((n) => n.id));
  const edges = g.edges.map((e) => edgeItem(e, readers.get(e.to) ?? e.to, sources.has(e.from), s, rates));
  const nodes = g.nodes.map((n) => nodeItem(n, edges.filter((e) => e.to === n.id), s, rates));
  return { nodes, edges };
}

function edgeItem(e: Graph['edges'][number], reader: string, fromSource: boolean, s: Stats | undefined, rates: Rates): EdgeItem {
  const stream = e.stream ?? '';
  const lag = stream ? lagOf(s, reader, stream) : undefined;
  const holds = s?.holds.filter((h) => h.stage === reader && stream && h.stream === stream) ?? [];
  let pressure: Pressure = s ? 'ok' : 'unknown';
  if (lag && lag.events > 0 && lag.seconds >= waitingFrom) pressure = 'waiting';
  if (holds.length) pressure = 'held';
  if (s && fromSource && isFull(s)) pressure = 'full';
  const name = `${e.from} → ${e.to}`;
  return { key: edgeKey(e.from, e.to), name, from: e.from, to: e.to, stream, lag, pressure, why: unique(holds.map((h) => h.reason)), out: rates.of(e.from, 'out') };
}

function nodeItem(n: Graph['nodes'][number], into: EdgeItem[], s: Stats | undefined, rates: Rates): NodeItem {
  const counted = s?.nodes.find((c) => c.id === n.id) ?? { id: n.id };
  const why = [
    ...(s?.holds.filter((h) => h.stage === n.id || h.stage === n.stage).map((h) => h.reason) ?? []),
    ...(s?.reasons.filter((r) => r.component === n.id).map((r) => r.reason) ?? []),
    ...(counted.plugin?.reason ? [counted.plugin.reason] : []),
  ];
  let pressure: Pressure = s ? 'ok' : 'unknown';
  for (const e of into) if (e.pressure === 'waiting') pressure = 'waiting';
  if (why.length) pressure = worse(pressure, 'held');
  if (s && n.kind === 'source' && isFull(s)) pressure = 'full';
  return {
    key: nodeKey(n.id), name: n.id, id: n.id, kind: n.kind, type: n.type, stage: n.stage ?? '', counted, pressure, why: unique(why),
    lag: together(into), in: rates.of(n.id, 'in'), out: rates.of(n.id, 'out'),
  };
}

/** The lag of all that comes into a node, each stream once. */
function together(into: EdgeItem[]): Lag | undefined {
  const streams = new Map(into.filter((e) => e.lag).map((e) => [e.stream, e.lag as Lag]));
  if (!streams.size) return undefined;
  const lags = [...streams.values()];
  return { events: lags.reduce((sum, l) => sum + l.events, 0), seconds: Math.max(...lags.map((l) => l.seconds)) };
}

const unique = (list: string[]): string[] => [...new Set(list)];
