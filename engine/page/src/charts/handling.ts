import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import type uPlot from 'uplot';
import type { Chart, Line } from '../live/store';
import type { Paths } from './paths';
import type { View } from './zoom';

/** A plot that can be handled. */
export interface Handled {
  host: HTMLElement; // which has the focus
  over: HTMLElement; // what is pointed at
  chart: Chart;
  dark: boolean;
  view: () => View; // what the plot shows
}

/** What handles a plot, and draws all but plain lines. */
export interface Handle {
  /** The path of a line; undefined if it is a plain one. */
  path: (u: uPlot, line: Line) => Paths | undefined;
  behind: (u: uPlot) => void;
  above: (u: uPlot) => void;
  /** Shows the symbols of marks where they are in the view, which is so many px wide. */
  place: (width: number) => void;
  end: () => void;
}

/** All that a chart needs beyond being drawn. */
export interface Handling {
  handle: (plot: Handled) => Handle;
  Controls: ComponentType;
  Tiles: ComponentType<{ chart: Chart }>;
  Numbers: ComponentType<{ chart: Chart }>;
}

const pause = 3000; // ms before another try

/** The code of handling charts, which comes behind the first drawing; undefined until then. */
export const handling = signal<Handling | undefined>(undefined);
let asked = false;

/** Fetches that code, again and again if it does not come. */
export function loadHandling(): void {
  if (asked) return;
  asked = true;
  import('./hands').then(
    (m) => (handling.value = m),
    () => {
      asked = false;
      setTimeout(loadHandling, pause);
    },
  );
}
