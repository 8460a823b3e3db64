import { signal } from '@preact/signals';

/** What the pipeline is made of (event `graph`). */
export interface Graph {
  pipeline: string;
  nodes: { id: string; kind: string; type: string; stage?: string }[];
  edges: { from: string; to: string; stream?: string }[];
}

/** How many dead letters there are (event `dlq`). */
export interface Letters {
  total: number;
  reasons: { node: string; class: string; code: string; count: number }[];
}

/** Something for the time axis (event `mark`). */
export interface Mark {
  id: string;
  time: number; // ms
  kind: string;
  text: string;
}

/** The newest of each state that the engine tells, undefined until it has. */
export const graph = signal<Graph | undefined>(undefined);
export const stats = signal<unknown>(undefined); // as the answer of GET /api/v1/status
export const letters = signal<Letters | undefined>(undefined);
/** What happened, oldest first. */
export const marks = signal<readonly Mark[]>([]);

const mostMarks = 256;
const listeners = new Map<string, Set<(data: unknown) => void>>();

/** Calls take with the data of every event of this name; the result ends that. */
export function listen(event: string, take: (data: unknown) => void): () => void {
  const all = listeners.get(event) ?? new Set();
  listeners.set(event, all.add(take));
  return () => void all.delete(take);
}

/** Takes in an event that is not of charts; one that nobody knows is ignored. */
export function tell(event: string, text: string): void {
  const states: Record<string, (data: never) => void> = {
    graph: (g: Graph) => (graph.value = g),
    stats: (s: unknown) => (stats.value = s),
    dlq: (l: Letters) => (letters.value = l),
    mark: addMark,
  };
  const own = Object.hasOwn(states, event) ? states[event] : undefined;
  const heard = listeners.get(event);
  if (!own && !heard?.size) return;
  const data = JSON.parse(text);
  own?.(data as never);
  heard?.forEach((take) => take(data));
}

function addMark(m: Mark): void {
  if (marks.value.some((known) => known.id === m.id)) return; // every connection tells them anew
  marks.value = [...marks.value, m].sort((a, b) => a.time - b.time).slice(-mostMarks);
}
