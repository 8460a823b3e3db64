import { computed, effect, signal, type ReadonlySignal } from '@preact/signals';
import { theme } from './layout';

function media(query: string): ReadonlySignal<boolean> {
  const list = matchMedia(query);
  const matches = signal(list.matches);
  list.addEventListener('change', (e) => (matches.value = e.matches));
  return matches;
}

const systemDark = media('(prefers-color-scheme: dark)');
const systemContrast = media('(prefers-contrast: more)');
/** Whether the system replaces the page's colours by its own. */
const forced = media('(forced-colors: active)');

/** Whether the background is dark. */
export const dark = computed(() => {
  if (forced.value || theme.value === 'auto' || theme.value === 'contrast') return systemDark.value;
  return theme.value === 'dark';
});

const contrast = computed(() => theme.value === 'contrast' || (theme.value === 'auto' && systemContrast.value));

/** Changes with anything that a canvas must be painted anew for. */
export const paint = computed(() => `${dark.value ? 'dark' : 'light'} ${contrast.value ? 'more' : ''} ${forced.value ? 'forced' : ''}`);

/** Keeps the document's style at what theme says. */
export function followTheme(): void {
  effect(() => {
    const root = document.documentElement;
    root.dataset.scheme = dark.value ? 'dark' : 'light';
    root.dataset.contrast = contrast.value ? 'more' : '';
  });
}
