import { useEffect, useRef } from 'preact/hooks';
import './menu.css';
import { hide, placeOf } from '../charts/order';
import { step, type MenuProps } from '../charts/tools';
import { nameOf, resize, sizeOf, sizes } from '../frame/layout';
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

/** What can be done with a chart. */
export function Menu({ chart, view, close }: MenuProps) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => host.current?.querySelector<HTMLElement>('input:checked')?.focus(), []);
  const picture = (): void => {
    const plot = host.current?.closest('.card')?.querySelector('canvas');
    const [from, to] = view();
    if (plot) void pictureOf(chart, plot, from, to).then((b) => save(fileName(chart.title, to, 'png'), b));
    close();
  };
  const values = (): void => {
    const [from, to] = view();
    save(fileName(chart.title, to, 'csv'), new Blob([csvOf(chart, from, to)], { type: 'text/csv;charset=utf-8' }));
    close();
  };
  return (
    <div ref={host}>
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
