import { look } from '../charts/colors';
import { commonUnit } from '../charts/legend';
import { held } from '../charts/time';
import { digits, number, stamp, zoneName } from '../format';
import { columnOf, type Chart, type Line } from '../live/store';
import { dark } from '../state';

const family = 'system-ui, -apple-system, "Segoe UI", "Noto Sans KR", "Malgun Gothic", sans-serif';
const margin = 12; // px of the page, as all lengths here
const headHeight = 46;
const rowHeight = 18;
const swatchWidth = 22;
const gap = 16;

/** An entry of the legend and where it goes. */
interface Entry {
  line: Line;
  text: string;
  x: number;
  row: number;
}

function css(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function textOf(chart: Chart, line: Line): string {
  const last = columnOf(line).last(held.value);
  const value = last ? number(last.v, chart.decimals, 0, digits(last.v)) : '–';
  return `${line.key || chart.title}  ${value} ${line.unit}`.trim();
}

/** The legend's entries in rows of at most width. */
function legendOf(chart: Chart, width: number, measure: (text: string) => number): Entry[] {
  let x = 0;
  let row = 0;
  return chart.lines
    .filter((l) => !l.hidden)
    .map((line) => {
      const text = textOf(chart, line);
      const wide = swatchWidth + measure(text) + gap;
      if (x > 0 && x + wide > width) [x, row] = [0, row + 1];
      const entry = { line, text, x, row };
      x += wide;
      return entry;
    });
}

function head(c: CanvasRenderingContext2D, chart: Chart, from: number, to: number): void {
  const unit = commonUnit(chart);
  c.fillStyle = css('--text');
  c.font = `600 15px ${family}`;
  c.fillText(unit ? `${chart.title} (${unit})` : chart.title, margin, margin + 12);
  c.fillStyle = css('--muted');
  c.font = `12px ${family}`;
  c.fillText(`${stamp(from)} – ${stamp(to)} (${zoneName(to)})`, margin, margin + 30);
}

function legend(c: CanvasRenderingContext2D, entries: Entry[], top: number): void {
  c.lineWidth = 3;
  for (const e of entries) {
    const { color, dash } = look(e.line.index, dark.value);
    const [x, y] = [margin + e.x, top + e.row * rowHeight];
    c.strokeStyle = color;
    c.setLineDash(dash);
    c.beginPath();
    c.moveTo(x, y + 9);
    c.lineTo(x + swatchWidth - 6, y + 9);
    c.stroke();
    c.fillStyle = css('--text');
    c.fillText(e.text, x + swatchWidth, y + 13);
  }
}

/**
 * A PNG of a chart as plot shows it, with its title, the time that it shows (ms), and
 * its legend.
 */
export function pictureOf(chart: Chart, plot: HTMLCanvasElement, from: number, to: number): Promise<Blob> {
  const scale = plot.width / Math.max(plot.clientWidth, 1) || 1;
  const [width, height] = [plot.width / scale, plot.height / scale];
  const canvas = document.createElement('canvas');
  const c = canvas.getContext('2d') as CanvasRenderingContext2D;
  c.font = `12px ${family}`;
  const entries = legendOf(chart, width, (text) => c.measureText(text).width);
  const rows = (entries.at(-1)?.row ?? -1) + 1;
  canvas.width = Math.round((width + 2 * margin) * scale);
  canvas.height = Math.round((headHeight + height + rows * rowHeight + 2 * margin) * scale);
  c.scale(scale, scale);
  c.fillStyle = css('--card');
  c.fillRect(0, 0, canvas.width, canvas.height);
  head(c, chart, from, to);
  c.drawImage(plot, margin, headHeight, width, height);
  legend(c, entries, headHeight + height + margin / 2);
  return new Promise((done, failed) => canvas.toBlob((b) => (b ? done(b) : failed(new Error('no picture'))), 'image/png'));
}
