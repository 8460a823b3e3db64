import type { Mark } from '../live/topics';

/** Kinds of marks that have a shape and a name; others look like none of them. */
export const kinds = ['start', 'reload', 'replay', 'plugin', 'alarm'] as const;
export type Kind = (typeof kinds)[number] | 'other';

export function kindOf(m: Mark): Kind {
  return kinds.find((k) => k === m.kind) ?? 'other';
}

/** Marks that are too close to each other to be told apart. */
export interface Cluster {
  marks: Mark[]; // oldest first
  kind: Kind; // of the symbol: an alarm is never hidden behind something else
  x: number; // of the newest, px
}

/** Puts marks, oldest first, together that are less than least px apart. */
export function cluster(marks: readonly Mark[], x: (t: number) => number, least: number): Cluster[] {
  const out: Cluster[] = [];
  for (const m of marks) {
    const at = x(m.time);
    const last = out.at(-1);
    if (!last || at - last.x >= least) out.push({ marks: [m], kind: kindOf(m), x: at });
    else {
      last.marks.push(m);
      last.x = at;
      if (last.kind !== 'alarm') last.kind = kindOf(m);
    }
  }
  return out;
}

/** Those of marks, oldest first, from time a to b. */
export function within(marks: readonly Mark[], a: number, b: number): Mark[] {
  return marks.filter((m) => m.time >= a && m.time <= b);
}
