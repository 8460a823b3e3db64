import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { zoneName } from '../format';
import { nameOf, sizeOf } from '../frame/layout';
import { duration, t } from '../i18n';
import type { Chart } from '../live/store';
import { beat, now } from '../state';
import { handling, loadHandling } from './handling';
import { commonUnit, Legend } from './legend';
import { newestOf, PlotBox, rightOf, spanOf } from './plotbox';
import { held } from './time';
import { dropAt, Grip, Tools } from './tools';
import { Values } from './values';

const quiet = 90_000; // ms without a value after which a card says so

/** A chart that is numbers, once the code for that is there. */
function Figures({ chart }: { chart: Chart }) {
  const Shown = chart.draw === 'value' ? handling.value?.Tiles : handling.value?.Numbers;
  useEffect(loadHandling, []);
  return Shown ? <Shown chart={chart} /> : <div class="plot" />;
}

/** The chart as it is to be drawn; numbers need no legend. */
function Body({ chart, hover, right }: { chart: Chart; hover: { value: number }; right: number }) {
  if (chart.draw === 'value' || chart.draw === 'table') return <Figures chart={chart} />;
  return (
    <>
      <PlotBox chart={chart} hover={hover} />
      <Legend chart={chart} hover={hover.value} from={right - spanOf(chart)} right={right} />
    </>
  );
}

function Head({ chart, right }: { chart: Chart; right: number }) {
  const age = now() - newestOf(chart);
  return (
    <header>
      <Grip chart={chart} />
      <h3 title={chart.id}>{chart.title}</h3>
      <span class="unit">{commonUnit(chart)}</span>
      {held.value === undefined && age > quiet && <span class="quiet">{t('noRecent', { age: duration(age) })}</span>}
      <span class="zone" title={t('zone')}>
        {zoneName(right)}
      </span>
      <Tools chart={chart} view={() => [rightOf(chart) - spanOf(chart), rightOf(chart)]} />
    </header>
  );
}

/** One chart with its legend and its values. */
export function Card({ chart }: { chart: Chart }) {
  void beat.value; // numbers are refreshed with it
  const hover = useSignal(NaN);
  const right = rightOf(chart);
  const name = nameOf(chart.id);
  return (
    <article class="card" data-chart={chart.id} data-draw={chart.draw} data-name={name} data-size={sizeOf(name)} {...dropAt(chart)}>
      <Head chart={chart} right={right} />
      <Body chart={chart} hover={hover} right={right} />
      <Values chart={chart} />
    </article>
  );
}
