import { useSignal, type Signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { count } from '../format';
import { replay, troubleOf, type Choice, type Replayed, type Trouble } from './api';
import { refresh } from './listing';
import { Confirm, Dialog, TroubleNote } from './parts';
import { follow } from './run';
import { t, type Word } from './words';

/** Letters that are to be replayed or dropped. */
export interface Meant {
  choice: Choice;
  n: number;
}

/** What a replay begun here asks for, and what was answered. */
interface Asking {
  fromSource: Signal<boolean>;
  plan: Signal<Replayed | undefined>;
  trouble: Signal<Trouble | undefined>;
  busy: Signal<boolean>;
  go: () => void;
  lookAgain: () => void;
}

/** Looks at what would happen whenever the beginning changes; go does it, once. */
function useAsking(choice: Choice, close: () => void): Asking {
  const fromSource = useSignal(false);
  const plan = useSignal<Replayed | undefined>(undefined);
  const trouble = useSignal<Trouble | undefined>(undefined);
  const busy = useSignal(false);
  const tries = useSignal(0);
  useEffect(() => {
    const abort = new AbortController();
    plan.value = undefined;
    trouble.value = undefined;
    replay(choice, fromSource.value, true, abort.signal).then(
      (r) => (plan.value = r),
      (e) => (trouble.value = troubleOf(e)),
    );
    return () => abort.abort();
  }, [fromSource.value, tries.value]);
  const go = async (): Promise<void> => {
    if (busy.value || !plan.value?.letters) return;
    busy.value = true;
    trouble.value = undefined;
    try {
      follow(await replay(choice, fromSource.value, false));
      close();
    } catch (e) {
      trouble.value = troubleOf(e);
    }
    busy.value = false;
    void refresh();
  };
  return { fromSource, plan, trouble, busy, go: () => void go(), lookAgain: () => void tries.value++ };
}

/** Shows what a replay would do, and does it when that is confirmed. */
export function ReplayDialog({ meant, close }: { meant: Meant; close: () => void }) {
  const a = useAsking(meant.choice, close);
  const plan = a.plan.value;
  const n = plan?.letters ?? 0;
  const text = a.busy.value ? t('replaying') : n ? t('replayNow', { n: count(n) }) : t('replayVerb');
  return (
    <Dialog title={meant.n === 1 ? t('replayOne') : t('replayTitle', { n: count(meant.n) })} busy={a.busy.value} close={close}>
      <Beginning a={a} />
      <section class="plan" aria-label={t('wouldDo')} aria-live="polite">
        {plan ? <Plan plan={plan} /> : !a.trouble.value && <p class="muted">{t('looking')}</p>}
      </section>
      {a.trouble.value && <Failed a={a} trouble={a.trouble.value} />}
      {n > 0 && <p class="muted">{t('onceMore')}</p>}
      <Confirm kind="main" text={text} ready={n > 0} busy={a.busy.value} go={a.go} close={close} />
    </Dialog>
  );
}

function Failed({ a, trouble }: { a: Asking; trouble: Trouble }) {
  const done = a.plan.value !== undefined; // it was told what would happen: this is of doing it
  const hint = done && (trouble.status === 0 ? t('unknownOutcome') : trouble.status === 503 && t('someDone'));
  return (
    <>
      <TroubleNote trouble={trouble} retry={done ? undefined : a.lookAgain} />
      {hint && <p>{hint}</p>}
    </>
  );
}

function Beginning({ a }: { a: Asking }) {
  const choice = (source: boolean, text: Word, hint: Word) => (
    <label class="choice">
      <input type="radio" name="from" checked={a.fromSource.value === source} disabled={a.busy.value} onChange={() => (a.fromSource.value = source)} />
      <span>
        {t(text)} <small>{t(hint)}</small>
      </span>
    </label>
  );
  return (
    <fieldset>
      <legend>{t('fromWhere')}</legend>
      {choice(false, 'fromNode', 'fromNodeHint')}
      {choice(true, 'fromSource', 'fromSourceHint')}
    </fieldset>
  );
}

function Plan({ plan }: { plan: Replayed }) {
  const stay = plan.skipped.reduce((sum, s) => sum + s.count, 0);
  return (
    <>
      {plan.letters === 0 ? (
        <p>{t('wouldNothing')}</p>
      ) : (
        <p>{t('would', { letters: count(plan.letters), events: count(plan.events) })}</p>
      )}
      <ul class="given">
        {plan.nodes.map((n) => (
          <li key={n.node}>
            <span>{n.node}</span> <b>{count(n.events)}</b>
          </li>
        ))}
      </ul>
      {stay > 0 && <p>{t('staying', { n: count(stay) })}</p>}
      <ul class="given skipped">
        {plan.skipped.map((s) => (
          <li key={s.reason}>
            <span>{skipText(s.reason)}</span> <b>{count(s.count)}</b>
          </li>
        ))}
      </ul>
    </>
  );
}

const skips: [RegExp, Word][] = [
  [/^the entry could not be read/, 'skipRaw'],
  [/^it belongs to the replay "(.*)"$/, 'skipReplay'],
  [/^it waits behind another/, 'skipWaits'],
  [/^its source has refused it/, 'skipSource'],
  [/^the pipeline has no node "(.*)"$/, 'skipNode'],
  [/^only the first 64 KiB/, 'skipCut'],
  [/^no way leads from its source "(.*)" to "(.*)"$/, 'skipWay'],
  [/^its message is not in the journal/, 'skipJournal'],
];

/** Why letters stay, in the page's language; as the engine said it if that is not known. */
function skipText(reason: string): string {
  for (const [pattern, word] of skips) {
    const m = pattern.exec(reason);
    if (m) return t(word, { name: m[1] ?? '', other: m[2] ?? '' });
  }
  return reason;
}
