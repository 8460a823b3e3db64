import type { Column } from '../live/column';
import { columnOf, type Line } from '../live/store';
import { follow, Pen, type Box } from './paths';

/** How far a line is drawn. */
interface End {
  column: Column;
  hidden: boolean;
  appended: number;
  rewritten: number;
}

/** What is not drawn yet of a line. */
export interface Piece {
  line: Line;
  path: Path2D;
}

/**
 * Knows how far the lines of a chart are drawn. Most of what comes to a live chart comes
 * behind their ends and can be drawn alone, over what is there; not so where a value holds
 * until the next one, which takes from what is drawn.
 */
export class Ends {
  private ends: End[] = [];

  /** Takes it that all of the lines is drawn. */
  set(lines: readonly Line[]): void {
    this.ends = lines.map(endOf);
  }

  /**
   * The pieces behind the ends, which then count as drawn. Undefined if something else
   * of a line has changed, or a piece leaves the box: all must be drawn then.
   */
  take(lines: readonly Line[], box: Box): Piece[] | undefined {
    const ends = lines.map(endOf);
    if (ends.length !== this.ends.length) return undefined;
    const pieces: Piece[] = [];
    for (const [i, now] of ends.entries()) {
      const was = this.ends[i] as End;
      if (now.column !== was.column || now.rewritten !== was.rewritten || now.hidden !== was.hidden) return undefined;
      const fresh = now.appended - was.appended;
      if (!fresh || now.hidden) continue;
      if (!fits(now.column, fresh, box)) return undefined;
      pieces.push({ line: lines[i] as Line, path: piece(now.column, fresh, box) });
    }
    this.ends = ends;
    return pieces;
  }
}

function endOf(line: Line): End {
  const column = columnOf(line);
  return { column, hidden: line.hidden, appended: column.appended, rewritten: column.rewritten };
}

/** Whether the newest points are within the box; breaks are. */
function fits(c: Column, fresh: number, box: Box): boolean {
  for (let i = Math.max(c.length - fresh, 0); i < c.length; i++) {
    const v = c.value(i);
    if (!Number.isNaN(v) && !box.holds(v)) return false;
  }
  return true;
}

/** The newest points, from the one on that is drawn already. */
function piece(c: Column, fresh: number, box: Box): Path2D {
  const path = new Path2D();
  follow(c, box, false, new Pen(path), Math.max(c.length - fresh - 1, 0));
  return path;
}
