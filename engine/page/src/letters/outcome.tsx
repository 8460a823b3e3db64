import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { count } from '../format';
import { bytes } from './content';
import { exporting, stopExport } from './export';
import { clearFilter } from './filters';
import { narrow } from './listing';
import { TroubleNote } from './parts';
import { run, type Run } from './run';
import { t } from './words';

/** How many letters were dropped last, undefined once that was taken note of. */
export const dropped = signal<number | undefined>(undefined);

/** What has become of what was asked for. */
export function Outcomes() {
  return (
    <div class="outcomes" role="status">
      {run.value && <Followed run={run.value} />}
      {dropped.value !== undefined && <Note dismiss={() => (dropped.value = undefined)}>{t('dropped', { n: count(dropped.value) })}</Note>}
      <Exported />
    </div>
  );
}

function Note({ dismiss, children }: { dismiss?: () => void; children: ComponentChildren }) {
  return (
    <div class="notice outcome">
      <span>{children}</span>
      {dismiss && (
        <button type="button" aria-label={t('dismiss')} title={t('dismiss')} onClick={dismiss}>
          ×
        </button>
      )}
    </div>
  );
}

function showBack(): void {
  clearFilter();
  narrow({ generation: 'redrive', order: 'newest' });
}

/** A replay from its beginning until all is through. */
function Followed({ run: r }: { run: Run }) {
  const said = t('done', { letters: count(r.result.letters), events: count(r.result.events) });
  return (
    <Note dismiss={() => (run.value = undefined)}>
      {said} {r.back === undefined ? whereabouts(r) : t('through')}{' '}
      {r.back === 0 && t('noneBack')}
      {!!r.back && (
        <>
          <strong>{t('cameBack', { n: count(r.back) })}</strong>{' '}
          <button type="button" onClick={showBack}>
            {t('showBack')}
          </button>
        </>
      )}
    </Note>
  );
}

function whereabouts(r: Run): string {
  if (r.trouble) return t('unfollowed');
  return r.waiting === undefined ? t('followed') : t('onTheWay', { n: count(r.waiting) });
}

function Exported() {
  const e = exporting.value;
  if (!e) return null;
  const values = { n: count(e.letters), size: bytes(e.bytes) };
  const dismiss = (): void => void (exporting.value = undefined);
  if (e.state === 'running') {
    return (
      <Note>
        {t('exportRunning', values)}{' '}
        <button type="button" onClick={stopExport}>
          {t('stop')}
        </button>
      </Note>
    );
  }
  if (e.state === 'done') return <Note dismiss={dismiss}>{t('exported', values)}</Note>;
  const text = { cut: 'exportCut', failed: 'exportFailed', stopped: 'exportStopped' } as const;
  if (!e.trouble) return <Note dismiss={dismiss}>{t(text[e.state], values)}</Note>;
  return (
    <TroubleNote trouble={e.trouble}>
      <strong>{t(text[e.state], values)}</strong>{' '}
      <button type="button" onClick={dismiss}>
        {t('dismiss')}
      </button>
    </TroubleNote>
  );
}
