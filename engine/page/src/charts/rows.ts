import { columnOf, type Chart, type Line } from '../live/store';
import { look } from './colors';
import { hatch, write, type Brush } from './limits';
import { runsOf, type Run } from './states';

const mostNames = 64; // that get a colour of their own

/** The rows of a state chart: one for each line, coloured by state. */
export class Rows {
  private readonly names = new Map<string, number>(); // index of a state's colour

  constructor(
    private readonly chart: Chart,
    private readonly dark: boolean,
  ) {
    for (const b of chart.bands) this.index(b.label || '');
  }

  private index(name: string): number {
    const known = this.names.get(name);
    if (known !== undefined) return known;
    const next = this.names.size % mostNames;
    if (this.names.size < mostNames) this.names.set(name, next);
    return next;
  }

  /** Draws the states of lines, from top to bottom. */
  draw(b: Brush, lines: readonly Line[]): void {
    const height = b.box.y(0) - b.box.y(1);
    const gap = Math.min(4 * b.ratio, height * 0.2);
    lines.forEach((line, i) => {
      const top = b.box.y(lines.length - i) + gap / 2;
      for (const r of runsOf(columnOf(line), b.box.from, b.box.to, this.chart.bands)) this.run(b, r, top, height - gap);
    });
  }

  private run(b: Brush, r: Run, y: number, height: number): void {
    const x = b.box.x(r.from);
    const width = Math.max(b.box.x(r.to) - x, 1);
    const { color } = look(this.index(r.name), this.dark);
    b.ctx.globalAlpha = 0.4;
    b.ctx.fillStyle = color;
    b.ctx.fillRect(x, y, width, height);
    hatch(b, { x, y, width, height }, r.severity, b.css('--text'));
    b.ctx.globalAlpha = 1;
    b.ctx.fillStyle = color;
    b.ctx.fillRect(x, y, Math.min(2 * b.ratio, width), height);
    this.label(b, r.name, { x, y, width, height });
  }

  private label(b: Brush, name: string, r: { x: number; y: number; width: number; height: number }): void {
    b.ctx.font = b.font;
    const left = Math.max(r.x, b.box.left) + 6 * b.ratio;
    const room = r.x + r.width - left - 3 * b.ratio;
    if (r.height < 12 * b.ratio || b.ctx.measureText(name).width > room) return;
    write(b, name, { left, top: r.y + r.height / 2 - 5.5 * b.ratio }, b.css('--text'));
  }
}
