import { signal } from '@preact/signals';
import { early, lazy } from '../lazy';

/** The dialog that is open. */
export const dialog = signal<'settings' | 'keys' | undefined>(undefined);

const shown = {
  settings: lazy(early(() => import('../dialogs/settings').then((m) => m.Settings))),
  keys: lazy(early(() => import('../dialogs/keys').then((m) => m.Keys))),
};

/** The open dialog; its code is fetched when it is first opened. */
export function Dialogs() {
  const Shown = dialog.value && shown[dialog.value];
  return Shown ? <Shown /> : null;
}
