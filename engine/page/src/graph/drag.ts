import { zoomed, type View } from './camera';
import type { Point } from './layout';

const still = 4; // px that a click may move

/**
 * Moves and scales a picture by mouse, wheel and fingers: view tells how it is shown,
 * set shows it otherwise. The result ends that.
 */
export function dragging(svg: SVGSVGElement, view: () => View, set: (v: View) => void): () => void {
  const down = new Map<number, Point>();
  let moving = false;
  const at = (e: MouseEvent): Point => {
    const box = svg.getBoundingClientRect();
    return { x: e.clientX - box.x, y: e.clientY - box.y };
  };
  const on = {
    pointerdown: (e: PointerEvent) => {
      if (e.button !== 0) return;
      if (!down.size) moving = false;
      down.set(e.pointerId, at(e));
    },
    pointermove: (e: PointerEvent) => {
      const was = down.get(e.pointerId);
      if (!was) return;
      const is = at(e);
      if (!moving && Math.hypot(is.x - was.x, is.y - was.y) < still) return;
      if (!moving) svg.setPointerCapture(e.pointerId);
      moving = true;
      set(moved(view(), was, is, [...down].find(([id]) => id !== e.pointerId)?.[1]));
      down.set(e.pointerId, is);
    },
    pointerup: (e: PointerEvent) => void down.delete(e.pointerId),
    pointercancel: (e: PointerEvent) => void down.delete(e.pointerId),
    click: (e: MouseEvent) => {
      if (moving) e.stopPropagation(); // the end of a drag is no click
      moving = false;
    },
    wheel: (e: WheelEvent) => {
      e.preventDefault();
      set(zoomed(view(), at(e), Math.exp(-e.deltaY / (e.ctrlKey ? 150 : 600))));
    },
  };
  for (const [name, take] of Object.entries(on)) svg.addEventListener(name, take as EventListener, { capture: true, passive: false });
  return () => {
    for (const [name, take] of Object.entries(on)) svg.removeEventListener(name, take as EventListener, { capture: true });
  };
}

/** What one finger's step makes of the view: a move, or with another finger down a scaling about that. */
function moved(v: View, was: Point, is: Point, other: Point | undefined): View {
  if (!other) return { ...v, x: v.x + is.x - was.x, y: v.y + is.y - was.y };
  const far = (p: Point): number => Math.max(Math.hypot(p.x - other.x, p.y - other.y), 1);
  return zoomed(v, other, far(is) / far(was));
}
