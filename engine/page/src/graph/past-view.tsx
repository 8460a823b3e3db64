import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { Refused } from '../ask';
import { count } from '../format';
import type { Tapped } from './diff';
import { List } from './list';
import { past, type Past } from './past';
import { Refusal } from './refusal';
import { t } from './words';

type Failure = { status: number; text: string };

/** What a failed question to the engine says. */
export function failureOf(e: unknown): Failure {
  return e instanceof Refused ? { status: e.status, text: e.message } : { status: 0, text: String(e) };
}

/** Events of a past range, by a form. */
export function PastView({ node, compare }: { node: string; compare: ((e: Tapped) => void) | undefined }) {
  const [from, to, where] = [useSignal('10m'), useSignal(''), useSignal('')];
  const found = useSignal<Past | undefined>(undefined);
  const failed = useSignal<Failure | undefined>(undefined);
  const asking = useSignal<AbortController | undefined>(undefined);
  const end = useRef<() => void>(() => {});
  useEffect(() => () => end.current(), []);
  const ask = async (e: Event): Promise<void> => {
    e.preventDefault();
    if (asking.value) return asking.value.abort();
    const control = new AbortController();
    end.current = () => control.abort();
    asking.value = control;
    failed.value = undefined;
    try {
      found.value = await past(node, { from: from.value.trim() || '10m', to: to.value.trim() || '0s', where: where.value.trim() }, control.signal);
    } catch (error) {
      if (!control.signal.aborted) failed.value = failureOf(error);
    }
    asking.value = undefined;
  };
  return (
    <>
      <form class="g-form" onSubmit={(e) => void ask(e)}>
        <Field label={t('from')} hint={t('fromHint')} value={from} />
        <Field label={t('to')} hint={t('toHint')} value={to} />
        <Field label={t('where')} hint={t('whereHint')} value={where} />
        <button type="submit" class={asking.value ? '' : 'main'}>{t(asking.value ? 'stop' : 'show')}</button>
      </form>
      {failed.value && <Refusal {...failed.value} node={node} />}
      {found.value && <Result past={found.value} compare={compare} />}
    </>
  );
}

function Field({ label, hint, value }: { label: string; hint: string; value: { value: string } }) {
  return (
    <label>
      <span>{label}</span>
      <input value={value.value} placeholder={hint} spellcheck={false} autocomplete="off" onInput={(e) => (value.value = e.currentTarget.value)} />
    </label>
  );
}

function Result({ past: p, compare }: { past: Past; compare: ((e: Tapped) => void) | undefined }) {
  const n = p.events.length;
  return (
    <>
      <p class="g-quiet" role="status">{t(!n ? 'foundNone' : p.cut ? 'foundCut' : 'found', { n: count(n) })}</p>
      {p.notices.map((text) => <p key={text} class="notice">{text}</p>)}
      {p.error !== undefined && <p class="notice warn">{t('endedEarly', { text: p.error })}</p>}
      <List events={p.events} label={t('past')} compare={compare} />
    </>
  );
}
