import type { Refused } from '../ask';
import { fine, t as common } from '../i18n';
import { beat, refused, store, stream } from '../state';
import './details.css';
import { t } from './words';

function todo(why: Refused): string {
  if (why.status === 401) return t('todoToken');
  if (why.status === 403) return t('todoScope');
  if (why.status === 503) return t('todoWait');
  return t('todoOther');
}

/** Why the engine refuses the stream, and what can be done. */
export function Refusal() {
  const why = refused.value;
  if (!why) return null;
  return (
    <div class="notice warn refusal" role="alert">
      <strong>{t('refusedTitle')}</strong>
      <p>
        {why.message} ({why.status})
      </p>
      <p>{todo(why)}</p>
      <button type="button" onClick={() => stream.retryNow()}>
        {common('again')}
      </button>
    </div>
  );
}

/** How far this computer's clock is from the server's. */
export function SkewNotice() {
  void beat.value;
  const ms = store.skew.ms;
  return <p class="notice">{t(ms > 0 ? 'clockBehind' : 'clockAhead', { skew: fine(Math.abs(ms)) })}</p>;
}
