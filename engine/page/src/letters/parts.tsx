import { useEffect, useRef, useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import type { Letter, Trouble } from './api';
import './ask.css';
import { run } from './run';
import { compare } from './selection';
import { t } from './words';

/** Why something was not answered, and what to do about it. */
export function TroubleNote({ trouble, retry, children }: { trouble: Trouble; retry?: (() => void) | undefined; children?: ComponentChildren }) {
  return (
    <div class="notice warn" role="alert">
      {children} <Told trouble={trouble} />{' '}
      {retry && trouble.status !== 401 && trouble.status !== 403 && (
        <button type="button" onClick={retry}>
          {t('retry')}
        </button>
      )}
    </div>
  );
}

function Told({ trouble }: { trouble: Trouble }) {
  const scope = /allow to (\w+)/.exec(trouble.text)?.[1];
  if (trouble.status === 403 && scope) {
    return (
      <>
        {t('scope', { scope })} {t('scopeHow', { scopes: scope === 'operate' ? 'observe,tap,operate' : 'observe,tap' })}
      </>
    );
  }
  if (trouble.status === 401) return <>{t('noToken')}</>;
  if (trouble.status === 0) return <>{t('away0')}</>;
  return (
    <span class="told">
      {trouble.text} ({trouble.status})
    </span>
  );
}

async function toClipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return oldCopy(text); // pages that are not of this machine and not over TLS have no clipboard
  }
}

function oldCopy(text: string): boolean {
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'offscreen';
  const before = document.activeElement as HTMLElement | null;
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  before?.focus();
  return done;
}

/** A button that copies a text, and says that it did. */
export function Copy({ text, what, label }: { text: string; what: string; label?: string }) {
  const [said, say] = useState('');
  const timer = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async (): Promise<void> => {
    say(t((await toClipboard(text)) ? 'copied' : 'copyFailed'));
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => say(''), 2000);
  };
  return (
    <span class="copying">
      <button type="button" class={label ? '' : 'copy'} aria-label={label ? undefined : t('copyWhat', { what })} title={label ? undefined : t('copy')} onClick={copy}>
        {label ?? (
          <svg viewBox="0 0 16 16" width="13" height="13" aria-hidden="true">
            <path d="M5.500 5.500h8v8h-8zM10.500 5.500v-3h-8v8h3" />
          </svg>
        )}
      </button>
      <span class="said" role="status">
        {said}
      </span>
    </span>
  );
}

/** Whether a letter came after the newest replay began and is one that was refused in it. */
export function cameBack(l: Letter): boolean {
  const r = run.value?.result;
  return !!r && l.generation === 'redrive' && compare(l.id, r.last) > 0;
}

/** What is special about a letter. */
export function Flags({ letter: l }: { letter: Letter }) {
  return (
    <>
      {l.waits && <Flag kind="waits" text={t('waits')} hint={t('waitsHint')} />}
      {cameBack(l) ? (
        <Flag kind="back" text={t('back')} hint={t('backHint')} />
      ) : (
        l.generation === 'redrive' && <Flag kind="again" text={t('again')} hint={t('againHint')} />
      )}
      {l.generation !== 'redrive' && l.generation !== 'live' && <Flag kind="again" text={t('ofReplay', { name: l.generation })} />}
      {l.cut && <Flag kind="cut" text={t('cut')} hint={t('cutHint')} />}
    </>
  );
}

function Flag({ kind, text, hint }: { kind: string; text: string; hint?: string }) {
  return (
    <span class={`letter-flag ${kind}`} title={hint}>
      {text}
    </span>
  );
}

interface DialogProps {
  title: string;
  busy: boolean; // something is being done: it stays open until that is told
  close: () => void;
  children: ComponentChildren;
}

/** A modal dialog. It closes with Esc, and the focus returns to where it was. */
export function Dialog({ title, busy, close, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const d = ref.current;
    d?.showModal();
    return () => d?.close();
  }, []);
  return (
    <dialog ref={ref} class="ask" aria-labelledby="ask-title" onCancel={(e) => busy && e.preventDefault()} onClose={close}>
      <h2 id="ask-title">{title}</h2>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  kind: 'main' | 'danger';
  text: string;
  ready: boolean;
  busy: boolean;
  go: () => void;
  close: () => void;
}

/** The buttons of a dialog; neither does anything while it is busy. */
export function Confirm({ kind, text, ready, busy, go, close }: ConfirmProps) {
  return (
    <footer>
      <button type="button" aria-disabled={busy} onClick={() => !busy && close()}>
        {t('cancel')}
      </button>
      <button type="button" class={kind} aria-disabled={!ready || busy} onClick={() => ready && !busy && go()}>
        {text}
      </button>
    </footer>
  );
}
