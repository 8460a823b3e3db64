import { signal } from '@preact/signals';
import type { Chart } from './live/store';

/** What charts show in the place of what comes. */
export interface Past {
  charts: readonly Chart[];
  title: string; // for the tab, such as "Past 10:42:13"
}

/** Set while the past or a replay is shown; undefined while charts are live. */
export const past = signal<Past | undefined>(undefined);
