import { Refused } from '../ask';
import type { Tapped } from './diff';

/** What a tap over a past range has shown. */
export interface Past {
  events: Tapped[];
  notices: string[]; // of the engine, about the tap itself
  error?: string; // why it ended before its time
  cut: boolean; // there may be more events than were taken
}

export interface Query {
  from: string;
  to: string;
  where?: string;
}

/** Events that one question takes at most, and bytes. */
export const mostEvents = 200;
const mostBytes = 8 << 20;

/** Takes in the lines of a tap; a line that is none is left out. */
export function take(into: Past, line: string): void {
  if (!line) return;
  const v = JSON.parse(line) as Tapped & { notice?: string; error?: string };
  if (v.position !== undefined) into.events.push(v);
  else if (v.notice !== undefined) into.notices.push(v.notice);
  else if (v.error !== undefined) into.error = v.error;
}

/** The address of a node's tap; without a query, of the node alone. */
export function tapAddress(node: string, q?: Query): string {
  const path = `api/v1/tap/${encodeURIComponent(node)}`;
  if (!q) return path;
  const query = new URLSearchParams({ from: q.from, to: q.to, limit: String(mostEvents) });
  if (q.where) query.set('where', q.where);
  return `${path}?${query}`;
}

/**
 * Asks a node's tap for a past range, oldest first. Rejects with [Refused] or, if the
 * engine cannot be reached, with a TypeError.
 */
export async function past(node: string, q: Query, signal: AbortSignal): Promise<Past> {
  const answer = await fetch(tapAddress(node, q), { signal, cache: 'no-store' });
  if (!answer.ok || !answer.body) throw new Refused(answer.status, await reason(answer));
  const found: Past = { events: [], notices: [], cut: false };
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  let [rest, bytes] = ['', 0];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.length;
    const lines = (rest + decoder.decode(value, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) take(found, line);
    if (bytes > mostBytes) {
      found.cut = true;
      await reader.cancel();
      return found;
    }
  }
  take(found, rest);
  found.cut = found.events.length >= mostEvents;
  return found;
}

async function reason(answer: Response): Promise<string> {
  const text = await answer.text();
  try {
    return String(JSON.parse(text).error ?? text);
  } catch {
    return text.trim() || answer.statusText;
  }
}

/** The status of a node's tap: 200 if it may be tapped, 0 if the engine cannot be reached. */
export async function probe(node: string): Promise<number> {
  try {
    return (await fetch(tapAddress(node), { method: 'HEAD', cache: 'no-store' })).status;
  } catch {
    return 0;
  }
}

/** Whether a status says that asking again does not help. */
export const final = (status: number): boolean => status >= 400 && status < 500;

const margin = 1000; // ms around what is looked for
const onwards = 120_000; // ms after an event in which what came of it is looked for

/**
 * The range in which the relatives of e passed, by the log's clock: back to the message in
 * the journal that it descends from, or onwards, but not beyond now (ms).
 */
export function range(e: Tapped, back: boolean, now: number): Query {
  const at = Date.parse(e.appended);
  const root = Number(/^\d+\.(\d+)-/.exec(e.root ?? '')?.[1] ?? at);
  const from = (back ? Math.min(root, at) : at) - margin;
  const to = back ? at + margin : Math.max(Math.min(at + onwards, now), at + margin);
  const text = (ms: number): string => new Date(ms).toISOString();
  return { from: text(from), to: text(to), where: `root_id == ${JSON.stringify(e.root_id)}` };
}
