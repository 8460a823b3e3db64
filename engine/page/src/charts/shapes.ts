import type { Column } from '../live/column';
import { follow, Pen, type Box, type Paths } from './paths';
import { reduce, type Bucket } from './reduce';

/** A line and what is between it and the base of box. */
export function areaPath(c: Column, box: Box): Paths {
  const stroke = new Path2D();
  const fill = new Path2D();
  follow(c, box, false, new Pen(stroke));
  follow(c, box, false, new Pen(fill, box.y(box.base)));
  return { stroke, fill };
}

/** A line through the means of stretches of step ms, filled from their least to their greatest values. */
export function envelopePath(c: Column, box: Box, step: number): Paths {
  const stroke = new Path2D();
  const fill = new Path2D();
  let piece: Bucket[] = [];
  const end = (): void => {
    outline(fill, piece, box, step / 2);
    piece.forEach((b, i) => (i ? stroke.lineTo(box.x(b.t + step / 2), box.y(b.avg)) : stroke.moveTo(box.x(b.t + step / 2), box.y(b.avg))));
    piece = [];
  };
  for (const b of reduce(c, box.from, box.to, step)) {
    if (b.gap) end();
    piece.push(b);
  }
  end();
  return { stroke, fill };
}

function outline(fill: Path2D, piece: Bucket[], box: Box, middle: number): void {
  piece.forEach((b, i) => (i ? fill.lineTo(box.x(b.t + middle), box.y(b.max)) : fill.moveTo(box.x(b.t), box.y(b.max))));
  for (const b of [...piece].reverse()) fill.lineTo(box.x(b.t + middle), box.y(b.min));
  if (piece.length) fill.closePath();
}

/** Which bars of a stretch of time are a line's own. */
export interface Share {
  place: number; // among the lines that are drawn
  of: number;
}

/** A bar from zero to the mean of each stretch of step ms; lines share a stretch side by side. */
export function barPath(c: Column, box: Box, step: number, { place, of }: Share): Paths {
  const fill = new Path2D();
  const base = Math.round(box.y(box.base));
  const room = 0.85 / of; // of a stretch; the rest is a gap
  for (const b of reduce(c, box.from, box.to, step)) {
    const x = Math.round(box.x(b.t + step * room * place));
    const end = Math.round(box.x(b.t + step * room * (place + 1)));
    const y = Math.round(box.y(b.avg));
    fill.rect(x, Math.min(y, base), Math.max(end - x, 1), Math.max(Math.abs(y - base), 1));
  }
  return { stroke: null, fill };
}
