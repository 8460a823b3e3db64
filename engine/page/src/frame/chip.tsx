import { useSignal } from '@preact/signals';
import { clock, zoneName } from '../format';
import { fine, t } from '../i18n';
import { beat, chip, connection, refused, silentFor, store } from '../state';

/** What the state of the connection means, in a sentence. */
function meaning(): string {
  const state = chip();
  if (state === 'refused') return refused.value?.message ?? '';
  if (state === 'stale') return store.logAway ? t('logAway') : t('staleHint', { seconds: silentFor() });
  if (state === 'lagging') return t('laggingHint', { lag: fine(store.lagMs) });
  if (state === 'live') return t('liveHint');
  return t('reconnectingHint', { seconds: silentFor() });
}

function signed(ms: number): string {
  return (ms < 0 ? '\u2212' : '+') + fine(Math.abs(ms));
}

/** The numbers behind the state. */
function facts(): [string, string][] {
  const known: [string, string][] = [[t('heard'), t('ago', { age: fine(silentFor() * 1000) })]];
  if (connection.value !== 'live') return known;
  known.push([t('lag'), fine(store.lagMs)], [t('skew'), signed(store.skew.ms)]);
  if (!Number.isNaN(store.newest)) known.push([t('newest'), t('ago', { age: fine(Math.max(store.serverNow() - store.newest, 0)) })]);
  known.push([t('serverTime'), `${clock(store.serverNow())} ${zoneName()}`]);
  return known;
}

/** The state of the connection; pointing at it or focusing it shows the details. */
export function StateChip() {
  void beat.value;
  const dismissed = useSignal(false);
  const state = chip();
  const again = (): void => void (dismissed.value = false);
  return (
    <span
      class={dismissed.value ? 'state dismissed' : 'state'}
      onKeyDown={(e) => e.key === 'Escape' && (dismissed.value = true)}
      onFocusOut={again}
      onMouseLeave={again}
    >
      <button type="button" class={`chip ${state}`} data-state={state} aria-label={`${t('stateLabel')}: ${t(state)}`} aria-describedby="state-details">
        <i aria-hidden="true" />
        {t(state)}
        {state === 'lagging' && <span>{fine(store.lagMs)}</span>}
      </button>
      <span class="tip" role="tooltip" id="state-details">
        <span>{meaning()}</span>
        {facts().map(([name, value]) => (
          <span key={name} class="fact">
            <span>{name}</span> <b>{value}</b>
          </span>
        ))}
      </span>
    </span>
  );
}
