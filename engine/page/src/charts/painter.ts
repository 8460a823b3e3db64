const leastPause = 33; // ms between two drawings of one chart
const budget = 3; // ms of a frame after which the other charts wait for the next; the browser paints in the rest

interface Canvas {
  draw: () => unknown;
  drawn: number; // when, ms
}

/**
 * Draws charts in turn, frame by frame. Many or dense charts are drawn less often
 * each; the page goes on answering to its user.
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
  add(draw: () => unknown): () => void {
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
      if (now - canvas.drawn < leastPause) continue;
      canvas.drawn = now;
      canvas.draw();
    }
  }
}

/** Draws all charts of the page. */
export const painter = new Painter();
