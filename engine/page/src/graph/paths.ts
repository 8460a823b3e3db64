import type { Graph } from '../live/topics';

const into = (g: Graph, id: string): string[] => g.edges.filter((e) => e.to === id).map((e) => e.from);
const outOf = (g: Graph, id: string): string[] => g.edges.filter((e) => e.from === id).map((e) => e.to);

/** Whether what a node hands on rests in a stream, so that a tap shows it. */
export function rests(g: Graph, id: string): boolean {
  return g.edges.some((e) => e.from === id && !!e.stream);
}

/** The nodes whose events rest and go into a node, perhaps through others, in the graph's order. */
export function before(g: Graph, id: string): string[] {
  return ordered(g, walk(g, id, into).ends);
}

/** The nodes whose events rest and come out of a node: itself, else those behind. */
export function after(g: Graph, id: string): string[] {
  return rests(g, id) ? [id] : ordered(g, walk(g, id, outOf).ends);
}

/** The nodes on the way from one to another whose events rest nowhere. */
export function between(g: Graph, from: string, to: string): string[] {
  const forth = walk(g, from, outOf).passed;
  const back = walk(g, to, into).passed;
  return ordered(g, new Set([...forth].filter((id) => back.has(id) && id !== from && id !== to)));
}

/** What is reached from a node: up to those whose events rest, through those whose do not. */
function walk(g: Graph, id: string, next: (g: Graph, id: string) => string[]): { ends: Set<string>; passed: Set<string> } {
  const [ends, passed] = [new Set<string>(), new Set<string>()];
  const todo = next(g, id);
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    if (ends.has(at) || passed.has(at)) continue;
    if (rests(g, at)) ends.add(at);
    else {
      passed.add(at);
      todo.push(...next(g, at));
    }
  }
  return { ends, passed };
}

const ordered = (g: Graph, ids: Set<string>): string[] => g.nodes.map((n) => n.id).filter((id) => ids.has(id));
