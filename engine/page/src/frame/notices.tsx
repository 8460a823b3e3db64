import type { Refused } from '../ask';
import { count } from '../format';
import { fine, t } from '../i18n';
import { beat, lost, refused, skewBound, store, stream } from '../state';

function todo(why: Refused): string {
  if (why.status === 401) return t('todoToken');
  if (why.status === 403) return t('todoScope');
  if (why.status === 503) return t('todoWait');
  return t('todoOther');
}

function Refusal({ why }: { why: Refused }) {
  return (
    <div class="notice warn refusal" role="alert">
      <strong>{t('refusedTitle')}</strong>
      <p>
        {why.message} ({why.status})
      </p>
      <p>{todo(why)}</p>
      <button type="button" onClick={() => stream.retryNow()}>
        {t('again')}
      </button>
    </div>
  );
}

function Skew() {
  const ms = store.skew.ms;
  if (Math.abs(ms) <= skewBound) return null;
  return <p class="notice">{t(ms > 0 ? 'clockBehind' : 'clockAhead', { skew: fine(Math.abs(ms)) })}</p>;
}

/** What people should know of the page as a whole. */
export function Notices() {
  void beat.value;
  return (
    <>
      {refused.value && <Refusal why={refused.value} />}
      {lost() && (
        <div class="notice warn" role="alert">
          <strong>{t('lostTitle')}</strong> {t('lostText')}
        </div>
      )}
      {store.missed > 0 && <p class="notice warn">{t('missed', { n: count(store.missed) })}</p>}
      <Skew />
      {store.hello?.embedded && <p class="notice">{t('embedded')}</p>}
    </>
  );
}
