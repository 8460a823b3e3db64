const leastPause = 33; // ms between two drawings of a whole chart
const budget = 3; // ms of a frame after which the other charts wait for the next; the browser paints in the rest

/** Draws what is new on a chart; all of it, for which it answers true, only if whole. */
export type Draw = (whole: boolean) => boolean;

interface Canvas {
  draw: Draw;
  drawn: number; // when all of it was, ms
}

/**
 * Draws charts in turn, frame by frame. What has come behind the ends of lines is drawn
 * in each frame, whole charts less often, many or dense ones less often still; the page
 * goes on answering to its user.
 */
export class Painter {
  private readonly canvases: Canvas[] = [];
  private next = 0;
  private running = false;

  constructor(
    private readonly frame: (f: (now: number) => void) => unknown = (f) => requestAnimationFrame(f),
    private readonly clock: () => number = () => performance.now(),
  ) {}

  /** Calls draw again and again until the result is called. */
  add(draw: Draw): () => void {
    const canvas = { draw, drawn: -Infinity };
    this.canvases.push(canvas);
    if (!this.running) this.frame((now) => this.run(now));
    this.running = true;
    return () => void this.canvases.splice(this.canvases.indexOf(canvas), 1);
  }

  private run(now: number): void {
    this.running = this.canvases.length > 0;
    if (!this.running) return;
    this.frame((then) => this.run(then));
    const end = this.clock() + budget;
    for (let n = this.canvases.length; n > 0 && this.clock() < end; n--) {
      this.next = (this.next + 1) % this.canvases.length;
      const canvas = this.canvases[this.next] as Canvas;
      if (canvas.draw(now - canvas.drawn >= leastPause)) canvas.drawn = now;
    }
  }
}

/** Draws all charts of the page. */
export const painter = new Painter();
