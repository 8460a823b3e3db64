import type uPlot from 'uplot';
import { envelope } from './envelope';
import type { Handled } from './handling';
import { alarmsOf } from './levels';
import { confined, drawBands, drawMarks, drawThresholds, type Brush } from './limits';
import { columnOf, type Chart, type Line } from '../live/store';
import { marks, type Mark } from '../live/topics';
import { within } from './marks';
import { areaPath, barPath, envelopePath } from './shapes';
import { Box, type Paths } from './paths';
import { barStep } from './reduce';
import { Rows } from './rows';

const size = 11; // px of the letters
const alarmsEvery = 1000; // ms between two searches for alarms

/** Draws what a chart has besides plain lines: bands, thresholds, marks, bars, areas, states. */
export class Artist {
  private readonly rows: Rows | undefined;
  private readonly styles = new Map<string, string>();
  private alarms: { at: number; revision: number; list: Mark[] } = { at: -Infinity, revision: -1, list: [] };

  constructor(private readonly plot: Handled) {
    if (plot.chart.draw === 'state') this.rows = new Rows(plot.chart, plot.dark);
  }

  private get chart(): Chart {
    return this.plot.chart;
  }

  private lines(): Line[] {
    return this.chart.lines.filter((l) => !l.hidden);
  }

  /** The path of a line; undefined if it is a plain one. */
  path(u: uPlot, line: Line): Paths | undefined {
    const c = columnOf(line);
    const box = new Box(u);
    const width = box.width / devicePixelRatio;
    const { draw } = this.chart;
    if (draw === 'bar') {
      const lines = this.lines();
      return barPath(c, box, barStep(box.to - box.from, width / (3 + 4 * lines.length)), { place: lines.indexOf(line), of: lines.length });
    }
    if (this.rows) return { stroke: null, fill: null };
    const dense = c.search(box.to) - c.search(box.from) > width;
    if (envelope.value && dense) return envelopePath(c, box, ((box.to - box.from) / width) * 2);
    return draw === 'area' ? areaPath(c, box) : undefined;
  }

  private brush(u: uPlot): Brush {
    const ratio = devicePixelRatio;
    const font = `${size * ratio}px ${this.style('font-family')}`;
    return { ctx: u.ctx, box: new Box(u), ratio, font, css: (name) => this.style(name) };
  }

  /** A property of the plot's style, as it was when it was first asked for. */
  private style(name: string): string {
    const known = this.styles.get(name) ?? getComputedStyle(this.plot.host).getPropertyValue(name).trim();
    this.styles.set(name, known);
    return known;
  }

  /** Draws what is behind the lines. */
  behind(u: uPlot): void {
    if (!this.chart.bands.length || this.rows) return;
    const b = this.brush(u);
    confined(b, () => drawBands(b, this.chart.bands));
  }

  /** Draws what is over the lines. */
  above(u: uPlot): void {
    const b = this.brush(u);
    confined(b, () => {
      drawMarks(b, this.marks());
      if (this.rows) this.rows.draw(b, this.lines());
      else drawThresholds(b, this.chart.thresholds);
    });
  }

  /** The marks that are shown, oldest first: of the pipeline, and the alarms of this chart. */
  marks(): Mark[] {
    this.findAlarms();
    const { right, span } = this.plot.view();
    return within([...marks.value, ...this.alarms.list], right - span, right).sort((a, b) => a.time - b.time);
  }

  private findAlarms(): void {
    const now = performance.now();
    if (this.alarms.revision === this.chart.revision || now - this.alarms.at < alarmsEvery) return;
    this.alarms = { at: now, revision: this.chart.revision, list: alarmsOf(this.chart) };
  }
}
