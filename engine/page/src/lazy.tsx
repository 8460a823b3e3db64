import { signal } from '@preact/signals';
import type { Attributes, ComponentType } from 'preact';
import { t } from './i18n';

const loads: (() => Promise<unknown>)[] = [];

/** Code that is fetched soon after the page is there, for when the engine is away. */
export function early<T>(load: () => Promise<T>): () => Promise<T> {
  loads.push(load);
  return load;
}

/** Fetches what was registered with [early]; what fails is fetched when it is needed. */
export function fetchEarly(): void {
  for (const load of loads) load().catch(() => {});
}

/**
 * A component whose code is fetched when it is first shown. If that fails it says
 * so and offers to try again. A quiet one shows nothing while it is fetched.
 */
export function lazy<P = object>(load: () => Promise<ComponentType<P>>, quiet = false): ComponentType<P> {
  const loaded = signal<ComponentType<P> | undefined>(undefined);
  const state = signal<'idle' | 'loading' | 'failed'>('idle');
  const begin = (): void => {
    state.value = 'loading';
    load().then(
      (c) => void (loaded.value = c),
      () => (state.value = 'failed'),
    );
  };
  return function Lazy(props: P & Attributes) {
    const Loaded = loaded.value;
    if (Loaded) return <Loaded {...props} />;
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
