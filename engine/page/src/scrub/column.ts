import { Column } from '../live/column';

/** A column that is filled ahead of what is shown of it. */
export class PastColumn extends Column {
  private shown: number | undefined;

  constructor() {
    super(Infinity, Infinity);
  }

  override get length(): number {
    return this.shown ?? super.length;
  }

  /** Shows the points up to at. */
  show(at: number): void {
    const { length } = this;
    this.shown = undefined;
    this.shown = this.search(at + 1);
    if (this.shown !== length) this.rewritten++;
  }
}
