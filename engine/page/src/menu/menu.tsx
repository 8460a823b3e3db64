import { useEffect, useRef } from 'preact/hooks';
import './menu.css';
import { hide, placeOf } from '../charts/order';
import { step, type MenuProps } from '../charts/tools';
import { nameOf, resize, sizeOf, sizes } from '../frame/layout';
import { t as common } from '../i18n';
import type { Chart } from '../live/store';
import { csvOf } from './csv';
import { pictureOf } from './picture';
import { fileName, save } from './save';
import { t } from './words';

function Sizes({ chart }: { chart: Chart }) {
  const name = nameOf(chart.id);
  return (
    <fieldset>
      <legend>{t('size')}</legend>
      {sizes.map((s) => (
        <label key={s}>
          <input type="radio" name={`size ${name}`} checked={sizeOf(name) === s} onChange={() => resize(name, s)} />
          {t(s)}
        </label>
      ))}
    </fieldset>
  );
}

function Places({ chart }: { chart: Chart }) {
  const { place, of } = placeOf(chart);
  return (
    <>
      <button type="button" disabled={place <= 0} onClick={() => step(chart, -1)}>
        {t('earlier')}
      </button>
      <button type="button" disabled={place >= of.length - 1} onClick={() => step(chart, 1)}>
        {t('later')}
      </button>
    </>
  );
}

/** Closes the menu when something outside of it and its button is pressed or focused, and with Esc. */
function useClosing(host: { current: HTMLElement | null }, close: MenuProps['close']): void {
  useEffect(() => {
    const outside = (e: Event): void => {
      if (e.target instanceof Node && !host.current?.parentElement?.contains(e.target)) close(false);
    };
    const escape = (e: KeyboardEvent): void => {
      if (e.key === 'Escape') close(true);
    };
    document.addEventListener('pointerdown', outside);
    document.addEventListener('focusin', outside);
    document.addEventListener('keydown', escape);
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('focusin', outside);
      document.removeEventListener('keydown', escape);
    };
  }, []);
}

function savePicture(chart: Chart, plot: HTMLCanvasElement, [from, to]: [number, number]): void {
  void pictureOf(chart, plot, from, to).then((b) => save(fileName(chart.title, to, 'png'), b));
}

function saveValues(chart: Chart, [from, to]: [number, number]): void {
  save(fileName(chart.title, to, 'csv'), new Blob([csvOf(chart, from, to)], { type: 'text/csv;charset=utf-8' }));
}

/** What can be done with a chart. */
export function Menu({ chart, view, close }: MenuProps) {
  const host = useRef<HTMLDivElement>(null);
  useClosing(host, close);
  useEffect(() => host.current?.querySelector<HTMLElement>('input:checked')?.focus(), []);
  const plot = (): HTMLCanvasElement | null | undefined => host.current?.closest('.card')?.querySelector('canvas');
  const picture = (): void => {
    const canvas = plot();
    if (canvas) savePicture(chart, canvas, view());
    close(true);
  };
  const values = (): void => {
    saveValues(chart, view());
    close(true);
  };
  return (
    <div class="pop" role="group" aria-label={common('menuOf', { title: chart.title })} ref={host}>
      <Sizes chart={chart} />
      <Places chart={chart} />
      <button type="button" onClick={picture}>
        {t('picture')}
      </button>
      <button type="button" onClick={values}>
        {t('values')}
      </button>
      <button type="button" onClick={() => hide(chart, true)}>
        {t('hide')}
      </button>
    </div>
  );
}
