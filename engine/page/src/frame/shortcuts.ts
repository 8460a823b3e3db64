import { lang } from '../i18n';
import { early } from '../lazy';
import { addressOf, route, views } from '../route';
import type { KeyText } from '../dialogs/words';
import { dialog } from './dialog';
import { change } from './layout';

/** One key and what it does; without run it is handled where it applies. */
export interface Shortcut {
  key: string; // as KeyboardEvent.key, letters small
  text: KeyText;
  run?: () => void;
}

const next = early(() => import('../dialogs/next'));

/** Changes to the other language. */
export function otherLanguage(): void {
  change('lang', lang.value === 'en' ? 'ko' : 'en');
}

function toFilter(): void {
  if (route.value.view !== 'charts') location.hash = addressOf('charts');
  const begun = performance.now();
  const focus = (): void => {
    const field = document.getElementById('filter');
    if (field) field.focus();
    else if (performance.now() - begun < 1000) requestAnimationFrame(focus);
  };
  focus();
}

/** Every key of the page; the dialog behind ? lists them. */
export const shortcuts: readonly Shortcut[] = [
  ...views.map((v, i): Shortcut => ({ key: String(i + 1), text: v, run: () => void (location.hash = addressOf(v)) })),
  { key: '/', text: 'toFilter', run: toFilter },
  { key: ' ', text: 'pause' },
  { key: 't', text: 'nextTheme', run: () => void next().then((m) => m.nextTheme()) },
  { key: 'l', text: 'nextLanguage', run: otherLanguage },
  { key: 'z', text: 'nextZone', run: () => void next().then((m) => m.nextZone()) },
  { key: '?', text: 'keys', run: () => void (dialog.value = 'keys') },
  { key: 'Escape', text: 'close' },
];

/** Which key was pressed; while Hangul is typed, by its place on the keyboard. */
export function keyOf(e: Pick<KeyboardEvent, 'key' | 'code' | 'shiftKey'>): string {
  if (e.key !== 'Process' && e.key.charCodeAt(0) < 128) return e.key.length === 1 ? e.key.toLowerCase() : e.key;
  if (e.code === 'Slash') return e.shiftKey ? '?' : '/';
  return e.code.replace(/^(Key|Digit)/, '').toLowerCase();
}

/** Whether keys belong to what has the focus: a field, or an open dialog. */
function taken(e: KeyboardEvent): boolean {
  if (e.defaultPrevented || e.isComposing || e.ctrlKey || e.metaKey || e.altKey) return true;
  if (document.querySelector('dialog[open]')) return true;
  const at = e.target instanceof HTMLElement ? e.target : undefined;
  return !!at && (at.isContentEditable || !!at.closest('input:not([type=radio], [type=checkbox]), textarea, select'));
}

/** Lets the keys of the page work. */
export function followKeys(): void {
  addEventListener('keydown', (e) => {
    if (taken(e)) return;
    const run = shortcuts.find((s) => s.key === keyOf(e))?.run;
    if (!run) return;
    e.preventDefault();
    run();
  });
}
