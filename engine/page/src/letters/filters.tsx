import { useSignal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { count } from '../format';
import { letters } from '../live/topics';
import { classes, conditions, fromLocal, localTime, presets, type Filter } from './filter';
import { filter, narrow } from './listing';
import { t, type Word } from './words';

const few = 8; // reasons that are shown at first

type Reason = { node: string; class: string; code: string; count: number };

const asks = (f: Filter, r: Reason): boolean => f.node === r.node && f.class === r.class && f.code === r.code;

/** How many letters there are of each reason; each is a button that shows only these. */
export function Reasons() {
  const all = useSignal(false);
  const list = [...(letters.value?.reasons ?? [])].sort((a, b) => b.count - a.count);
  if (list.length === 0) return null;
  const shown = all.value ? list : list.filter((r, i) => i < few || asks(filter.value, r));
  return (
    <section class="reasons" aria-label={t('reasons')}>
      {shown.map((r) => (
        <ReasonButton key={`${r.node}\n${r.class}\n${r.code}`} reason={r} />
      ))}
      {list.length > few && (
        <button type="button" class="plain" aria-expanded={all.value} onClick={() => (all.value = !all.value)}>
          {all.value ? t('fewReasons') : t('allReasons', { n: list.length })}
        </button>
      )}
    </section>
  );
}

function ReasonButton({ reason: r }: { reason: Reason }) {
  const on = asks(filter.value, r);
  const choose = (): void => narrow(on ? { node: '', class: '', code: '' } : { node: r.node, class: r.class, code: r.code });
  return (
    <button type="button" class={`reason ${r.class}`} aria-pressed={on} onClick={choose}>
      <span class="at">{r.node}</span>
      <span class="code">{r.code || r.class}</span>
      <b>{count(r.count)}</b>
    </button>
  );
}

/** A text of the filter; it is asked for once typing has paused. */
function TextField({ label, value, suggest, set }: { label: string; value: string; suggest?: string[]; set: (v: string) => void }) {
  const [typed, type] = useState(value);
  const timer = useRef(0);
  useEffect(() => type(value), [value]);
  useEffect(() => () => clearTimeout(timer.current), []);
  const now = (v: string): void => {
    clearTimeout(timer.current);
    if (v !== value) set(v);
  };
  const soon = (v: string): void => {
    type(v);
    clearTimeout(timer.current);
    timer.current = window.setTimeout(() => now(v), 300);
  };
  const id = suggest && `suggest-${label}`;
  return (
    <label>
      {label}
      <input value={typed} list={id} spellcheck={false} onInput={(e) => soon(e.currentTarget.value)} onChange={(e) => now(e.currentTarget.value)} />
      {suggest && (
        <datalist id={id}>
          {suggest.map((s) => (
            <option key={s} value={s} />
          ))}
        </datalist>
      )}
    </label>
  );
}

function Choice({ label, value, options, set }: { label: string; value: string; options: [string, string][]; set: (v: string) => void }) {
  const known = options.some(([v]) => v === value);
  return (
    <label>
      {label}
      <select value={value} onChange={(e) => set(e.currentTarget.value)}>
        {options.map(([v, text]) => (
          <option key={v} value={v}>
            {text}
          </option>
        ))}
        {!known && <option value={value}>{value}</option>}
      </select>
    </label>
  );
}

function distinct(list: string[]): string[] {
  return [...new Set(list)].filter(Boolean).sort();
}

/** All that the filter can ask for. On a phone it is folded away. */
export function Filters() {
  const unfolded = useSignal(false);
  const f = filter.value;
  const n = conditions(f);
  return (
    <section class={unfolded.value ? 'filters unfolded' : 'filters'} aria-label={t('filter')}>
      <button type="button" class="fold" aria-expanded={unfolded.value} onClick={() => (unfolded.value = !unfolded.value)}>
        {n ? t('filters', { n }) : t('filter')}
      </button>
      <Fields f={f} />
      {n > 0 && (
        <button type="button" class="plain" onClick={clearFilter}>
          {t('clear')}
        </button>
      )}
    </section>
  );
}

/** Shows all letters. */
export function clearFilter(): void {
  narrow({ node: '', class: '', code: '', text: '', key: '', generation: '', from: '', to: '' });
}

function Fields({ f }: { f: Filter }) {
  const reasons = letters.value?.reasons ?? [];
  const any: [string, string] = ['', t('any')];
  return (
    <>
      <TextField label={t('filterText')} value={f.text} set={(text) => narrow({ text })} />
      <TextField label={t('key')} value={f.key} set={(key) => narrow({ key })} />
      <Choice
        label={t('node')}
        value={f.node}
        options={[any, ...distinct(reasons.map((r) => r.node)).map((n): [string, string] => [n, n])]}
        set={(node) => narrow({ node })}
      />
      <Choice
        label={t('filterClass')}
        value={f.class}
        options={[any, ...classes.map((c): [string, string] => [c, c])]}
        set={(c) => narrow({ class: c })}
      />
      <TextField label={t('filterCode')} value={f.code} suggest={distinct(reasons.map((r) => r.code))} set={(code) => narrow({ code })} />
      <Choice
        label={t('run')}
        value={f.generation}
        options={[any, ['live', t('runLive')], ['redrive', t('runRedrive')]]}
        set={(generation) => narrow({ generation })}
      />
      <TimeRange f={f} />
    </>
  );
}

function TimeRange({ f }: { f: Filter }) {
  const preset = presets.some((p) => p === f.from) && !f.to;
  const own = !preset && !!(f.from || f.to);
  const choose = (v: string): void => {
    if (v === 'own') narrow({ from: new Date(Date.now() - 3_600_000).toISOString(), to: '' });
    else narrow({ from: v, to: '' });
  };
  const options = presets.map((p): [string, string] => [p, t(`last${p}` as Word)]);
  return (
    <>
      <Choice label={t('time')} value={own ? 'own' : f.from} options={[['', t('anyTime')], ...options, ['own', t('between')]]} set={choose} />
      {own && (
        <>
          <TimeField label={t('from')} value={f.from} set={(from) => narrow({ from })} />
          <TimeField label={t('to')} value={f.to} set={(to) => narrow({ to })} />
        </>
      )}
    </>
  );
}

function TimeField({ label, value, set }: { label: string; value: string; set: (v: string) => void }) {
  return (
    <label>
      {label}
      <input type="datetime-local" value={localTime(value)} onChange={(e) => set(fromLocal(e.currentTarget.value))} />
    </label>
  );
}
