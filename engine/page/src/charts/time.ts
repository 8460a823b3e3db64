import { signal } from '@preact/signals';

/**
 * The time that all charts show, in one place: whoever pauses, zooms, scrubs or
 * replays sets it, whoever draws reads it (through edge() and span() of state.ts).
 */

/** Time at the right edge, ms since the epoch; undefined while charts follow what comes. */
export const held = signal<number | undefined>(undefined);

/** Length of the time shown, ms; 0 lets it grow with the data. */
export const range = signal(0);

/** Lets the charts stand still with this time, ms, at their right edge. */
export function hold(at: number): void {
  if (Number.isFinite(at)) held.value = at;
}

/** Lets the charts follow what comes again. */
export function release(): void {
  held.value = undefined;
}
