import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import './dialogs.css';
import { dialog } from '../frame/dialog';
import { t } from './words';

/** A modal dialog; Esc, its button and a click beside it close it. */
export function Frame({ title, children }: { title: string; children: ComponentChildren }) {
  const host = useRef<HTMLDialogElement>(null);
  useEffect(() => host.current?.showModal(), []);
  const close = (): void => host.current?.close();
  return (
    <dialog
      ref={host}
      aria-labelledby="dialog-title"
      onClose={() => (dialog.value = undefined)}
      onClick={(e) => e.target === host.current && close()}
    >
      <div>
        <h2 id="dialog-title">{title}</h2>
        {children}
        <button type="button" class="done" onClick={close}>
          {t('done')}
        </button>
      </div>
    </dialog>
  );
}
