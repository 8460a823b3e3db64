const samples = 6;

/**
 * How far the server's clock is ahead of this machine's. A message shows the
 * difference less the time that it took, so the greatest of the last few is nearest.
 */
export class Skew {
  private seen: number[] = [];

  /** Takes the server's time in a message that has come now, both in ms. */
  measure(server: number, now: number): void {
    this.seen = [...this.seen.slice(1 - samples), server - now];
  }

  /** ms, to be trusted after two messages; 0 until then. */
  get ms(): number {
    return this.seen.length < 2 ? 0 : Math.max(...this.seen);
  }
}
