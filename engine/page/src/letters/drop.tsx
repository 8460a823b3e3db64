import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { count } from '../format';
import { drop, troubleOf, type Trouble } from './api';
import { refresh } from './listing';
import { Confirm, Dialog, TroubleNote } from './parts';
import type { Meant } from './replay';
import { t } from './words';

const unasked = 100; // letters above which their number has to be typed

/** Asks whether letters are to be dropped, naming how many there are, and drops them. */
export function DropDialog({ meant, close, done }: { meant: Meant; close: () => void; done: (dropped: number) => void }) {
  const would = useSignal<number | undefined>(undefined);
  const trouble = useSignal<Trouble | undefined>(undefined);
  const busy = useSignal(false);
  const typed = useSignal('');
  const look = (): void => {
    trouble.value = undefined;
    drop(meant.choice, true).then(
      (d) => (would.value = d.dropped),
      (e) => (trouble.value = troubleOf(e)),
    );
  };
  useEffect(look, []);
  const n = would.value ?? 0;
  const ready = n > 0 && (n <= unasked || typed.value.replace(/\D/g, '') === String(n));
  const go = async (): Promise<void> => {
    if (!ready || busy.value) return;
    busy.value = true;
    trouble.value = undefined;
    try {
      done((await drop(meant.choice, false)).dropped);
      close();
    } catch (e) {
      trouble.value = troubleOf(e);
    }
    busy.value = false;
    void refresh();
  };
  const text = busy.value ? t('dropping') : n ? t('dropNow', { n: count(n) }) : t('dropVerb');
  const meantNow = would.value ?? meant.n;
  const title = meantNow === 1 ? t('dropOne') : t('dropTitle', { n: count(meantNow) });
  return (
    <Dialog title={title} busy={busy.value} close={close}>
      {would.value === undefined ? !trouble.value && <p class="muted">{t('counting')}</p> : <Consequence n={n} of={meant.n} />}
      {n > unasked && (
        <label class="typed">
          {t('dropType', { n })}
          <input inputMode="numeric" autocomplete="off" value={typed.value} onInput={(e) => (typed.value = e.currentTarget.value)} onKeyDown={(e) => e.key === 'Enter' && void go()} />
        </label>
      )}
      {trouble.value && <TroubleNote trouble={trouble.value} retry={would.value === undefined ? look : undefined} />}
      {trouble.value?.status === 0 && would.value !== undefined && <p>{t('unknownOutcome')}</p>}
      <Confirm kind="danger" text={text} ready={ready} busy={busy.value} go={() => void go()} close={close} />
    </Dialog>
  );
}

function Consequence({ n, of }: { n: number; of: number }) {
  if (n === 0) return <p>{t('dropNothing')}</p>;
  return (
    <>
      <p>{t(n === 1 ? 'dropOneText' : 'dropText')}</p>
      {n < of && <p>{t('dropStay', { n: count(of - n) })}</p>}
    </>
  );
}
