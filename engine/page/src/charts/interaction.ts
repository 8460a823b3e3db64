import type { Handled } from './handling';
import { bounds, reset, show, zoomAbout } from './navigate';
import { between, panned, zoomed, type View } from './zoom';

const least = 5; // px that a drag must have gone before it selects

/** What gestures need to know of a plot. */
type Plane = Pick<Handled, 'over' | 'view'>;

/** What a gesture began with. */
interface Grip {
  view: View;
  x: number; // px from the left
  at: number; // the time there, ms
  pan: boolean;
}

/**
 * Handles the pointers of a plot: a drag selects a time range, with Shift or one
 * finger it moves the view, two fingers or a wheel with Ctrl or Shift zoom, a double
 * click resets.
 */
export class Gestures {
  private readonly pointers = new Map<number, number>(); // pressed, to their px from the left
  private readonly box = document.createElement('div');
  private grip: Grip | undefined;
  private apart = 0; // px between two fingers

  constructor(private readonly plane: Plane) {
    this.box.className = 'selection';
    this.box.hidden = true;
    const { over } = plane;
    over.appendChild(this.box);
    over.addEventListener('pointerdown', (e) => this.down(e));
    over.addEventListener('pointermove', (e) => this.move(e));
    over.addEventListener('pointerup', (e) => this.up(e));
    over.addEventListener('pointercancel', (e) => this.drop(e));
    over.addEventListener('wheel', (e) => this.wheel(e), { passive: false });
    over.addEventListener('dblclick', reset);
  }

  private x(e: MouseEvent): number {
    return e.clientX - this.plane.over.getBoundingClientRect().left;
  }

  private time(x: number, { right, span }: View = this.plane.view()): number {
    return right - span + (x / this.plane.over.clientWidth) * span;
  }

  private down(e: PointerEvent): void {
    if (e.button !== 0 || (e.target as Element).closest('button')) return;
    const x = this.x(e);
    this.pointers.set(e.pointerId, x);
    this.plane.over.setPointerCapture(e.pointerId);
    if (this.pointers.size === 2) this.pinch();
    else this.grip = { view: this.plane.view(), x, at: this.time(x), pan: e.shiftKey || e.pointerType === 'touch' };
  }

  /** Begins to zoom with two fingers. */
  private pinch(): void {
    const [a = 0, b = 0] = this.pointers.values();
    const x = (a + b) / 2;
    this.apart = Math.max(Math.abs(a - b), 1);
    this.grip = { view: this.plane.view(), x, at: this.time(x), pan: true };
  }

  private move(e: PointerEvent): void {
    const g = this.grip;
    if (!g || !this.pointers.has(e.pointerId)) return;
    const x = this.x(e);
    this.pointers.set(e.pointerId, x);
    if (this.pointers.size === 2) this.squeeze(g);
    else if (!g.pan) this.select(g, x);
    else if (this.moved(g, x)) show(panned(g.view, ((g.x - x) / this.plane.over.clientWidth) * g.view.span, bounds()));
  }

  private moved(g: Grip, x: number): boolean {
    return Math.abs(x - g.x) >= least || this.plane.view().right !== g.view.right;
  }

  private squeeze(g: Grip): void {
    const [a = 0, b = 0] = this.pointers.values();
    show(zoomed(g.view, g.at, this.apart / Math.max(Math.abs(a - b), 1), bounds()));
  }

  /** Shows what is selected so far. The plot may move on beneath the pointer meanwhile. */
  private select(g: Grip, x: number): void {
    const { right, span } = this.plane.view();
    const width = this.plane.over.clientWidth;
    const begin = ((g.at - right + span) / span) * width;
    const [a, b] = [Math.max(Math.min(begin, x), 0), Math.min(Math.max(begin, x), width)];
    this.box.hidden = b - a < least;
    this.box.style.left = `${a}px`;
    this.box.style.width = `${b - a}px`;
  }

  private up(e: PointerEvent): void {
    const g = this.grip;
    const x = this.x(e);
    const selected = g && !g.pan && this.pointers.has(e.pointerId) && Math.abs(x - g.x) >= least;
    this.drop(e);
    if (selected) show(between(g.at, this.time(Math.min(Math.max(x, 0), this.plane.over.clientWidth)), bounds()));
  }

  private drop(e: PointerEvent): void {
    this.pointers.delete(e.pointerId);
    this.grip = undefined; // a finger that stays begins nothing new
    this.box.hidden = true;
  }

  private wheel(e: WheelEvent): void {
    if (!e.ctrlKey && !e.shiftKey) return; // the page scrolls
    e.preventDefault();
    const turned = e.deltaY || e.deltaX; // some systems turn it sideways with Shift
    zoomAbout(this.time(this.x(e)), Math.exp(Math.sign(turned) * Math.min(Math.abs(turned) / 400, 0.5)));
  }
}
