import { clock } from '../format';
import type { Mark } from '../live/topics';
import { cluster, type Cluster } from './marks';
import { w } from './words';

const apart = 12; // px between two symbols

/** The symbols of marks at the top of a plot. Their text shows when they are pointed at or focused. */
export class Flags {
  private readonly host = document.createElement('div');
  private readonly shown = new Map<string, HTMLButtonElement>();

  constructor(over: HTMLElement) {
    this.host.className = 'flags';
    over.appendChild(this.host);
  }

  /** Shows marks, oldest first; x tells where a time is, px. */
  place(marks: readonly Mark[], x: (t: number) => number, width: number): void {
    const gone = new Set(this.shown.keys());
    for (const c of cluster(marks, x, apart)) {
      const id = (c.marks[0] as Mark).id;
      const el = this.shown.get(id) ?? this.add(id);
      this.dress(el, c);
      el.style.transform = `translateX(${Math.round(c.x)}px)`;
      el.dataset.side = c.x > width / 2 ? 'left' : 'right';
      gone.delete(id);
    }
    for (const id of gone) {
      this.shown.get(id)?.remove();
      this.shown.delete(id);
    }
  }

  private add(id: string): HTMLButtonElement {
    const el = document.createElement('button');
    el.type = 'button';
    el.tabIndex = -1; // the key M goes through them; a tab stop each would be too many
    el.append(document.createElement('i'), document.createElement('span'));
    this.host.appendChild(el);
    this.shown.set(id, el);
    return el;
  }

  private dress(el: HTMLButtonElement, { marks, kind }: Cluster): void {
    const newest = marks.at(-1) as Mark;
    const text = `${clock(newest.time)} ${w(kind)}: ${newest.text}`;
    const whole = marks.length > 1 ? w('more', { text, n: marks.length - 1 }) : text;
    const span = el.lastChild as HTMLElement;
    if (span.textContent === whole) return;
    span.textContent = whole;
    el.setAttribute('aria-label', whole);
    el.className = `flag mark-${kind}`;
  }

  /** Focuses the symbol after the one that has the focus, the first one after the last. */
  next(): void {
    const all = [...this.shown.values()];
    const at = all.findIndex((el) => el === document.activeElement);
    all[(at + 1) % all.length]?.focus();
  }
}
