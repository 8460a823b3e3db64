import { signal } from '@preact/signals';
import type { ComponentType } from 'preact';
import { t } from './i18n';

/**
 * A component whose code is fetched when it is first shown. If that fails it says
 * so and offers to try again. A quiet one shows nothing while it is fetched.
 */
export function lazy(load: () => Promise<ComponentType>, quiet = false): ComponentType {
  const loaded = signal<ComponentType | undefined>(undefined);
  const state = signal<'idle' | 'loading' | 'failed'>('idle');
  const begin = (): void => {
    state.value = 'loading';
    load().then(
      (c) => (loaded.value = c),
      () => (state.value = 'failed'),
    );
  };
  return function Lazy() {
    const Loaded = loaded.value;
    if (Loaded) return <Loaded />;
    if (state.value === 'failed') {
      return (
        <p class="empty" role="alert">
          {t('viewFailed')}{' '}
          <button type="button" onClick={begin}>
            {t('again')}
          </button>
        </p>
      );
    }
    if (state.value === 'idle') queueMicrotask(begin);
    return quiet ? null : <p class="empty">{t('viewLoading')}</p>;
  };
}
