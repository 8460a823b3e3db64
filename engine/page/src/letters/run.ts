import { signal } from '@preact/signals';
import { list, troubleOf, waiting, type Replayed, type Trouble } from './api';
import { refresh } from './listing';

/** A replay that was begun here, and what has become of it. */
export interface Run {
  result: Replayed;
  waiting: number | undefined; // events still to be driven; undefined: not known yet
  back: number | undefined; // letters that were refused again; undefined while events wait
  trouble: Trouble | undefined; // why it cannot be followed at the moment
}

/** The newest of them. */
export const run = signal<Run | undefined>(undefined);

const soonest = 500; // ms between looks at first
const latest = 5000;

/** Follows a replay until everything is through or another one is begun. */
export function follow(result: Replayed): void {
  run.value = { result, waiting: undefined, back: undefined, trouble: undefined };
  void look(result, soonest);
}

async function look(result: Replayed, pause: number): Promise<void> {
  const now = await state(result);
  if (run.value?.result !== result) return;
  run.value = { ...run.value, ...now };
  if (now.back !== undefined) return void refresh();
  setTimeout(() => void look(result, Math.min(pause * 1.5, latest)), pause);
}

async function state(result: Replayed): Promise<Partial<Run>> {
  try {
    const counts = await Promise.all(result.nodes.map((n) => waiting(n.node)));
    const left = counts.reduce((a, b) => a + b, 0);
    if (left) return { waiting: left, trouble: undefined };
    return { waiting: 0, back: await refusedAgain(result), trouble: undefined };
  } catch (e) {
    return { trouble: troubleOf(e) };
  }
}

async function refusedAgain(result: Replayed): Promise<number> {
  const more: Record<string, string> = { limit: '0' };
  if (result.last) more.after = result.last;
  return (await list(new URLSearchParams({ generation: 'redrive' }), more)).total;
}
