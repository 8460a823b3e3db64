import { signal, useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { announce } from '../frame/announce';
import { t } from '../i18n';
import { early, lazy } from '../lazy';
import type { Chart } from '../live/store';
import { move, moveBy, placeOf } from './order';

/** What the menu of a chart is told. */
export interface MenuProps {
  chart: Chart;
  view: () => [from: number, to: number]; // the time that is shown, ms
  close: (back: boolean) => void; // back: the focus goes back to its button
}

const Menu = lazy<MenuProps>(early(() => import('../menu/menu').then((m) => m.Menu)));
const dragged = signal<Chart | undefined>(undefined);
const over = signal<Chart | undefined>(undefined);

/** Moves a chart by places, and says where it has come to. */
export function step(chart: Chart, by: number): void {
  if (!moveBy(chart, by)) return;
  const { place, of } = placeOf(chart);
  announce(t('moved', { title: chart.title, place: place + 1, of: of.length }));
}

const steps: Record<string, number> = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 };

function arrow(e: KeyboardEvent, chart: Chart): void {
  const by = steps[e.key];
  if (!by || e.altKey || e.ctrlKey || e.metaKey) return;
  e.preventDefault();
  e.stopPropagation();
  step(chart, by);
  const grip = e.currentTarget as HTMLElement;
  requestAnimationFrame(() => grip.focus()); // a moved element loses the focus
}

function lift(e: DragEvent, chart: Chart): void {
  const card = (e.currentTarget as HTMLElement).closest('.card');
  e.dataTransfer?.setData('text/plain', chart.title);
  if (card) e.dataTransfer?.setDragImage(card, 20, 20);
  dragged.value = chart;
}

/** What a chart is dragged by, and moved with the arrow keys; not every browser drags a button. */
export function Grip({ chart }: { chart: Chart }) {
  return (
    <span
      role="button"
      tabIndex={0}
      class="grip"
      draggable
      aria-label={t('grip', { title: chart.title })}
      title={t('gripHint')}
      onKeyDown={(e) => arrow(e, chart)}
      onDragStart={(e) => lift(e, chart)}
      onDragEnd={() => (dragged.value = over.value = undefined)}
    >
      <svg viewBox="0 0 8 14" width="8" height="14" aria-hidden="true">
        <path d="M2 2h0M6 2h0M2 7h0M6 7h0M2 12h0M6 12h0" />
      </svg>
    </span>
  );
}

/** What makes a card a place to drop another chart of its group at. */
export function dropAt(chart: Chart) {
  const fits = dragged.value && dragged.value !== chart && dragged.value.group === chart.group;
  return {
    'data-over': fits && over.value === chart ? 'yes' : undefined,
    onDragOver: (e: DragEvent) => {
      if (!fits) return;
      e.preventDefault();
      over.value = chart;
    },
    onDrop: (e: DragEvent) => {
      if (!fits || !dragged.value) return;
      e.preventDefault();
      move(dragged.value, chart);
      dragged.value = over.value = undefined;
    },
  };
}

/** The button of a chart's menu; the menu is fetched when it is first opened. */
export function Tools({ chart, view }: Pick<MenuProps, 'chart' | 'view'>) {
  const open = useSignal(false);
  const button = useRef<HTMLButtonElement>(null);
  const close = (back: boolean): void => {
    open.value = false;
    if (back) button.current?.focus();
  };
  return (
    <div class="tools">
      <button
        ref={button}
        type="button"
        class="more"
        aria-expanded={open.value}
        aria-label={t('menuOf', { title: chart.title })}
        title={t('menu')}
        onClick={() => (open.value = !open.value)}
      >
        <svg viewBox="0 0 14 4" width="14" height="4" aria-hidden="true">
          <path d="M2 2h0M7 2h0M12 2h0" />
        </svg>
      </button>
      {open.value && <Menu chart={chart} view={view} close={close} />}
    </div>
  );
}
