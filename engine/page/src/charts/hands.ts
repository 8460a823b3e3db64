import { effect } from '@preact/signals';
import { Artist } from './artist';
import { Flags } from './flags';
import type { Handle, Handled } from './handling';
import { Gestures } from './interaction';
import { nameOf } from './levels';
import type { Chart } from '../live/store';
import { w } from './words';

export { Controls } from './controls';
export { Numbers, Tiles } from './tile';

/** Lets a plot be handled with pointers and keys, and shows its marks. */
export function handle(plot: Handled): Handle {
  const artist = new Artist(plot);
  const flags = new Flags(plot.over);
  new Gestures(plot);
  const next = (e: KeyboardEvent): void => {
    if (e.key.toLowerCase() === 'm' && !e.ctrlKey && !e.metaKey && !e.altKey) flags.next();
  };
  plot.host.addEventListener('keydown', next);
  const untell = effect(() => plot.host.setAttribute('aria-description', describe(plot.chart)));
  return {
    path: (u, line) => artist.path(u, line),
    behind: (u) => artist.behind(u),
    above: (u) => artist.above(u),
    place: (width) => {
      const { right, span } = plot.view();
      flags.place(artist.marks(), (t) => ((t - right + span) / span) * width, width);
    },
    end: () => {
      untell();
      plot.host.removeEventListener('keydown', next);
    },
  };
}

/** The limits of a chart and what the keys do, in words. */
function describe(chart: Chart): string {
  const limits = [
    ...chart.thresholds.map((l) => `${w(l.severity)} ${nameOf(l)}`),
    ...chart.bands.map((b) => [w(b.severity), b.label, `${b.from}–${b.to}`].filter(Boolean).join(' ')),
  ];
  const list = limits.join(', ');
  return list ? `${w('limits', { list })}. ${w('keys')}` : w('keys');
}
