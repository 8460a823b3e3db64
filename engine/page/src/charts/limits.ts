import type { Chart, Severity, Threshold } from '../live/store';
import type { Mark } from '../live/topics';
import { nameOf } from './levels';
import { kindOf, type Kind } from './marks';
import type { Box } from './paths';

/** What drawing on a plot's canvas needs. */
export interface Brush {
  ctx: CanvasRenderingContext2D;
  box: Box;
  ratio: number; // canvas pixels per px
  font: string;
  css: (name: string) => string; // a colour of the page
}

const colors: Record<Severity, string> = { ok: '--good', warn: '--warn', alarm: '--bad' };

/** Calls f with a state of ctx that is confined to the plot and ends with it. */
export function confined({ ctx, box }: Brush, f: () => void): void {
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, box.top, box.width, box.height);
  ctx.clip();
  f();
  ctx.restore();
}

/** Draws the bands of a chart behind its lines: a tint, a pattern by severity, the label. */
export function drawBands(b: Brush, bands: Chart['bands']): void {
  for (const band of bands) {
    const top = Math.max(b.box.y(band.to), b.box.top);
    const height = Math.min(b.box.y(band.from), b.box.top + b.box.height) - top;
    if (height <= 0) continue;
    const color = b.css(colors[band.severity]);
    b.ctx.fillStyle = color;
    b.ctx.globalAlpha = 0.07;
    b.ctx.fillRect(b.box.left, top, b.box.width, height);
    hatch(b, { x: b.box.left, y: top, width: b.box.width, height }, band.severity, color);
    if (band.label && height > 13 * b.ratio) write(b, band.label, { right: b.box.left + b.box.width - 4 * b.ratio, top: top + 2 * b.ratio }, color);
  }
}

interface Rect {
  x: number;
  y: number;
  width: number;
  height: number;
}

const tiles = new Map<string, CanvasPattern>();

/** Fills a rectangle with lines: none for ok, slanted for warn, crossing for alarm. */
export function hatch(b: Brush, r: Rect, severity: Severity | undefined, color: string): void {
  if (severity !== 'warn' && severity !== 'alarm') return;
  const name = `${severity} ${color} ${b.ratio}`;
  const pattern = tiles.get(name) ?? tile(b, severity, color);
  if (!pattern) return;
  tiles.set(name, pattern);
  b.ctx.globalAlpha = 0.22;
  b.ctx.fillStyle = pattern;
  b.ctx.fillRect(r.x, r.y, r.width, r.height);
}

function tile(b: Brush, severity: Severity, color: string): CanvasPattern | null {
  const size = Math.round(8 * b.ratio);
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = size;
  const ctx = canvas.getContext('2d');
  if (!ctx) return null;
  ctx.strokeStyle = color;
  ctx.lineWidth = b.ratio;
  ctx.beginPath();
  for (const shift of [-size, 0, size]) {
    ctx.moveTo(shift, size);
    ctx.lineTo(shift + size, 0);
    if (severity !== 'alarm') continue;
    ctx.moveTo(shift, 0);
    ctx.lineTo(shift + size, size);
  }
  ctx.stroke();
  return b.ctx.createPattern(canvas, 'repeat');
}

/** Draws the thresholds of a chart over its lines: dashed with a triangle for warn, nearly solid with a diamond for alarm. */
export function drawThresholds(b: Brush, thresholds: Chart['thresholds']): void {
  const taken: Rect[] = [];
  for (const t of thresholds) {
    const y = Math.round(b.box.y(t.at)) + 0.5;
    if (!(y >= b.box.top && y <= b.box.top + b.box.height)) continue;
    rule(b, y, b.css(colors[t.severity]), t.severity);
    taken.push(label(b, t, y, { taken, above: isAbove(b, t, y, thresholds) }));
  }
}

/** Whether a threshold's label is above its line: on the side it warns of, unless another line or the edge is there. */
function isAbove(b: Brush, t: Threshold, y: number, all: readonly Threshold[]): boolean {
  const room = 14 * b.ratio;
  const others = all.filter((o) => o !== t).map((o) => b.box.y(o.at));
  const fits = y - b.box.top > room;
  const up = fits && !others.some((o) => o <= y && o > y - room);
  const down = b.box.top + b.box.height - y > room && !others.some((o) => o >= y && o < y + room);
  return t.side === 'below' ? !down && up : up || (!down && fits);
}

/** Writes what a threshold is called beside its line, clear of the labels that are there. */
function label(b: Brush, t: Threshold, line: number, { taken, above }: { taken: readonly Rect[]; above: boolean }): Rect {
  const color = b.css(colors[t.severity]);
  b.ctx.font = b.font;
  const text = nameOf(t);
  const y = above ? line - 13 * b.ratio : line + 3 * b.ratio;
  const r = { x: b.box.left + 4 * b.ratio, y, width: b.ctx.measureText(text).width + 22 * b.ratio, height: 12 * b.ratio };
  for (const o of taken) if (Math.abs(o.y - r.y) < r.height && o.x + o.width > r.x) r.x = o.x + o.width;
  symbol(b, r.x + 5 * b.ratio, y + 5 * b.ratio, t.severity, color);
  write(b, text, { left: r.x + 13 * b.ratio, top: y }, color);
  return r;
}

function rule({ ctx, box, ratio }: Brush, y: number, color: string, severity: Severity): void {
  ctx.globalAlpha = 1;
  ctx.strokeStyle = color;
  ctx.lineWidth = ratio * (severity === 'alarm' ? 1.5 : 1);
  ctx.setLineDash((severity === 'alarm' ? [10, 2] : [5, 4]).map((n) => n * ratio));
  ctx.beginPath();
  ctx.moveTo(box.left, y);
  ctx.lineTo(box.left + box.width, y);
  ctx.stroke();
  ctx.setLineDash([]);
}

function symbol({ ctx, ratio }: Brush, x: number, y: number, severity: Severity, color: string): void {
  const r = 4 * ratio;
  ctx.fillStyle = color;
  ctx.beginPath();
  ctx.moveTo(x, y - r);
  ctx.lineTo(x + r, severity === 'alarm' ? y : y + r);
  if (severity === 'alarm') ctx.lineTo(x, y + r);
  ctx.lineTo(x - r, severity === 'alarm' ? y : y + r);
  ctx.fill();
}

/** Writes text with a seam of the card's colour, so that lines behind it do not blur it. */
export function write(b: Brush, text: string, at: { left?: number; right?: number; top: number }, color: string): void {
  const { ctx } = b;
  ctx.globalAlpha = 1;
  ctx.font = b.font;
  ctx.textBaseline = 'top';
  ctx.textAlign = at.left === undefined ? 'right' : 'left';
  ctx.lineWidth = 3 * b.ratio;
  ctx.lineJoin = 'round';
  ctx.strokeStyle = b.css('--card');
  ctx.strokeText(text, at.left ?? at.right ?? 0, at.top);
  ctx.fillStyle = color;
  ctx.fillText(text, at.left ?? at.right ?? 0, at.top);
}

const markDashes: Record<Kind, number[]> = { start: [], reload: [7, 3], replay: [2, 3], plugin: [7, 3, 2, 3], alarm: [4, 2], other: [1, 5] };

/** Draws the lines of marks; their symbols are elements over the plot. */
export function drawMarks(b: Brush, marks: readonly Mark[]): void {
  const { ctx, box, ratio } = b;
  ctx.lineWidth = ratio;
  for (const m of marks) {
    const kind = kindOf(m);
    ctx.globalAlpha = kind === 'alarm' ? 0.5 : 0.8; // there may be many
    const x = Math.round(box.x(m.time)) + 0.5;
    ctx.strokeStyle = b.css(kind === 'alarm' ? '--bad' : '--muted');
    ctx.setLineDash(markDashes[kind].map((n) => n * ratio));
    ctx.beginPath();
    ctx.moveTo(x, box.top);
    ctx.lineTo(x, box.top + box.height);
    ctx.stroke();
  }
  ctx.setLineDash([]);
}
