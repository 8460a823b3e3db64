import { ask, reach, Refused } from '../ask';

/** A dead letter as the engine lists it; see DeadLetter in openapi.yaml. */
export interface Letter {
  id: string;
  time: string; // when it was given up
  node: string;
  generation: string;
  class: string;
  code: string;
  text: string;
  record: number; // -1: the whole event
  attempt: number;
  stream: string;
  at: string;
  plugin?: string; // name@version#hash8
  event_id?: string;
  root_id?: string;
  key?: string;
  waits?: boolean;
  cut?: { length_bytes: number; sha256: string };
  event?: Event; // of a letter that was asked for by its id
  raw?: string; // base64
}

/** The failing node's input. */
export interface Event {
  time?: string;
  source: { node: string; exchange: string; routing_key: string; queue: string; message_id: string; redelivered: boolean };
  root?: string;
  plugin?: string;
  content_type?: string;
  payload?: string;
  payload_b64?: string;
}

export interface Listing {
  total: number;
  letters: Letter[];
  next?: string;
}

/** What a replay did, or with dry_run would do. */
export interface Replayed {
  dry_run: boolean;
  letters: number;
  events: number;
  nodes: { node: string; events: number }[];
  skipped: { reason: string; count: number }[];
  last: string; // newest letter before
}

export interface Dropped {
  dropped: number;
  dry_run: boolean;
}

const base = 'api/v1/dlq';

/** Which letters are meant, as a query: names, or a filter. */
export type Choice = URLSearchParams;

function withMore(q: URLSearchParams, more: Record<string, string>): URLSearchParams {
  const all = new URLSearchParams(q);
  for (const [name, value] of Object.entries(more)) all.set(name, value);
  return all;
}

/** Lists letters. In the order newest, after names a letter that is newer than all of them. */
export function list(filter: URLSearchParams, more: Record<string, string>, signal?: AbortSignal): Promise<Listing> {
  return ask(`${base}?${withMore(filter, more)}`, signal && { signal });
}

/** One letter with its event, as the engine wrote it: numbers lose nothing. */
export async function show(id: string, signal: AbortSignal): Promise<string> {
  return (await reach(`${base}/${encodeURIComponent(id)}`, { signal })).text();
}

export function replay(choice: Choice, fromSource: boolean, dryRun: boolean, signal?: AbortSignal): Promise<Replayed> {
  const q = withMore(choice, { from_source: String(fromSource), dry_run: String(dryRun) });
  return ask(`${base}/replay?${q}`, signal ? { method: 'POST', signal } : { method: 'POST' });
}

/** Events of a node that a replay has still to drive. */
export async function waiting(node: string): Promise<number> {
  return (await ask<{ events: number }>(`${base}/replay?${new URLSearchParams({ node })}`)).events;
}

export function drop(choice: Choice, dryRun: boolean): Promise<Dropped> {
  return ask(`${base}/drop?${withMore(choice, { dry_run: String(dryRun) })}`, { method: 'POST' });
}

/** Whole letters as lines of JSON, to be read piece by piece. all is no part of this question. */
export function lines(choice: Choice, signal: AbortSignal): Promise<Response> {
  const q = new URLSearchParams(choice);
  q.delete('all');
  return reach(`${base}/export?${q}`, { signal });
}

/** Why something was not answered; status 0: the engine was not reached. */
export interface Trouble {
  status: number;
  text: string;
}

/** What is to be told of an error, undefined for a question that was taken back. */
export function troubleOf(e: unknown): Trouble | undefined {
  if (e instanceof Refused) return { status: e.status, text: e.message };
  if (e instanceof DOMException && e.name === 'AbortError') return undefined;
  return { status: 0, text: e instanceof Error ? e.message : String(e) };
}
