import { useSignal } from '@preact/signals';
import { fine, t } from '../i18n';
import { early, lazy } from '../lazy';
import { beat, chip, store } from '../state';

const Details = lazy(early(() => import('../details/details').then((m) => m.Details)));

/** The state of the connection; pointing at it or focusing it shows the details. */
export function StateChip() {
  void beat.value;
  const open = useSignal(false);
  const state = chip();
  const lag = state === 'lagging' ? ` ${fine(store.lagMs)}` : '';
  const show = (): void => void (open.value = true);
  const hide = (): void => void (open.value = false);
  return (
    <span
      class="state"
      onMouseEnter={show}
      onMouseLeave={(e) => e.currentTarget.contains(document.activeElement) || hide()}
      onFocusIn={show}
      onFocusOut={hide}
      onKeyDown={(e) => e.key === 'Escape' && hide()}
    >
      <button
        type="button"
        class={`chip ${state}`}
        data-state={state}
        aria-label={`${t('stateLabel')}: ${t(state)}${lag}`}
        aria-describedby={open.value ? 'state-details' : undefined}
        onClick={show}
      >
        <i aria-hidden="true" />
        {t(state)}
        {lag}
      </button>
      {open.value && (
        <span class="tip" role="tooltip" id="state-details">
          <Details />
        </span>
      )}
    </span>
  );
}
