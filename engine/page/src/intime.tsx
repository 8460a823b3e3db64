import { Charts } from './charts/charts';
import { lazy } from './lazy';
import { past } from './past';
import { beat, store } from './state';

const Banner = lazy(() => import('./scrub/timeline').then((m) => m.Banner), true);
const Timeline = lazy(() => import('./scrub/timeline').then((m) => m.Timeline), true);

/** The charts with the timeline under them, and above them what tells that they show the past. */
export function ChartsInTime() {
  void beat.value;
  return (
    <>
      {past.value && <Banner />}
      <Charts />
      {store.charts.length > 0 && <Timeline />}
    </>
  );
}
