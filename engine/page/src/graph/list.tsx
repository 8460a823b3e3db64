import { useSignal } from '@preact/signals';
import { useRef } from 'preact/hooks';
import { clock } from '../format';
import { content, parsed, type Tapped } from './diff';
import { t } from './words';

interface Listed {
  events: readonly Tapped[];
  label: string;
  compare: ((e: Tapped) => void) | undefined;
  opened?: () => void;
}

/** Events, each to be opened. */
export function List({ events, label, compare, opened }: Listed) {
  if (!events.length) return null;
  return (
    <ul class="g-list" aria-label={label}>
      {events.map((e) => (
        <li key={keyOf(e)}>
          <One e={e} compare={compare} opened={opened} />
        </li>
      ))}
    </ul>
  );
}

/** Names an event by its place in the log. */
export const keyOf = (e: Tapped): string => `${e.stream}/${e.lane}/${e.position}#${e.index}`;

function One({ e, compare, opened }: { e: Tapped } & Pick<Listed, 'compare' | 'opened'>) {
  const open = useSignal(false);
  const onToggle = (event: Event): void => {
    open.value = (event.currentTarget as HTMLDetailsElement).open;
    if (open.value) opened?.();
  };
  return (
    <details onToggle={onToggle}>
      <summary>
        <time>{clock(Date.parse(e.appended), true)}</time> <b>{e.key}</b> <span>{line(e)}</span>
      </summary>
      {open.value && <Whole e={e} compare={compare} />}
    </details>
  );
}

const longestLine = 300; // characters of an event in one line
const longest = 20_000; // characters of an event in full

function line(e: Tapped): string {
  const c = content(e);
  return (typeof c === 'string' ? c : (JSON.stringify(c) ?? '')).slice(0, longestLine);
}

/** An event as indented JSON; a payload that is JSON is shown as such. */
export function pretty(e: Tapped): string {
  return JSON.stringify(e.payload === undefined ? e : { ...e, payload: parsed(e.payload) }, null, 2);
}

function Whole({ e, compare }: { e: Tapped; compare: ((e: Tapped) => void) | undefined }) {
  const said = useSignal<'copy' | 'copied' | 'copyByHand'>('copy');
  const pre = useRef<HTMLPreElement>(null);
  const text = pretty(e);
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(text);
      said.value = 'copied';
    } catch {
      if (pre.current) getSelection()?.selectAllChildren(pre.current); // without TLS a page has no clipboard
      said.value = 'copyByHand';
    }
  };
  return (
    <>
      <div class="g-row">
        <button type="button" onClick={() => void copy()}>{t(said.value)}</button>
        {compare && <button type="button" onClick={() => compare(e)}>{t('compare')}</button>}
      </div>
      <pre ref={pre} tabIndex={0} aria-label={e.id}>{text.slice(0, longest)}</pre>
      {text.length > longest && <p class="g-quiet">{t('cutText')}</p>}
    </>
  );
}
