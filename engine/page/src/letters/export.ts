import { signal } from '@preact/signals';
import { store } from '../state';
import { lines, troubleOf, type Choice, type Trouble } from './api';

/** An export, as far as it has come. */
export interface Exporting {
  letters: number;
  bytes: number;
  state: 'running' | 'done' | 'cut' | 'failed' | 'stopped'; // cut: the engine says that some are missing
  trouble: Trouble | undefined;
}

export const exporting = signal<Exporting | undefined>(undefined);

let abort: AbortController | undefined;

/** Ends an export that is under way; nothing is saved. */
export function stopExport(): void {
  abort?.abort();
}

/** Fetches whole letters and saves them as a file, one at a time. */
export async function exportLetters(choice: Choice): Promise<void> {
  if (exporting.value?.state === 'running') return;
  abort = new AbortController();
  exporting.value = { letters: 0, bytes: 0, state: 'running', trouble: undefined };
  try {
    const parts = await fetchLines(choice, abort.signal);
    const missing = await brokenOff(parts);
    save(parts);
    const letters = exporting.value.letters - (missing ? 1 : 0);
    exporting.value = { ...exporting.value, letters, state: missing ? 'cut' : 'done', trouble: missing };
  } catch (e) {
    const trouble = troubleOf(e);
    exporting.value = { ...exporting.value, state: trouble ? 'failed' : 'stopped', trouble };
  }
}

async function fetchLines(choice: Choice, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>[]> {
  const reader = (await lines(choice, signal)).body?.getReader();
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for (;;) {
    const got = await reader?.read();
    if (!got || got.done) return parts;
    parts.push(got.value as Uint8Array<ArrayBuffer>);
    tell(got.value);
  }
}

function tell(part: Uint8Array): void {
  const now = exporting.value;
  if (!now) return;
  let ends = 0;
  for (const b of part) if (b === 10) ends++;
  exporting.value = { ...now, letters: now.letters + ends, bytes: now.bytes + part.length };
}

/** What the last line says if it is no letter but an error. */
async function brokenOff(parts: Uint8Array<ArrayBuffer>[]): Promise<Trouble | undefined> {
  const end = await new Blob(parts.slice(-2)).text();
  const last = end.trimEnd().split('\n').pop() ?? '';
  const error = /^\{"error":/.test(last) ? JSON.parse(last).error : undefined;
  return error === undefined ? undefined : { status: 503, text: String(error) };
}

function save(parts: Uint8Array<ArrayBuffer>[]): void {
  const a = document.createElement('a');
  a.href = URL.createObjectURL(new Blob(parts, { type: 'application/x-ndjson' }));
  const time = new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').replace('T', '-');
  a.download = `dead-letters-${store.hello?.pipeline ?? 'pipeline'}-${time}.jsonl`;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 60_000);
}
