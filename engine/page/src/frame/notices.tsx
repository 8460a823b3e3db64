import { count } from '../format';
import { t } from '../i18n';
import { early, lazy } from '../lazy';
import { beat, lost, refused, skewBound, store } from '../state';

const Refusal = lazy(early(() => import('../details/notices').then((m) => m.Refusal)));
const SkewNotice = lazy(early(() => import('../details/notices').then((m) => m.SkewNotice)));

/** What people should know of the page as a whole. */
export function Notices() {
  void beat.value;
  return (
    <>
      {refused.value && <Refusal />}
      {lost() && (
        <div class="notice warn" role="alert">
          <strong>{t('lostTitle')}</strong> {t('lostText')}
        </div>
      )}
      {store.missed > 0 && <p class="notice warn">{t('missed', { n: count(store.missed) })}</p>}
      {Math.abs(store.skew.ms) > skewBound && <SkewNotice />}
      {store.hello?.embedded && <p class="notice">{t('embedded')}</p>}
    </>
  );
}
