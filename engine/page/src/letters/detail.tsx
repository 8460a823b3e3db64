import { useSignal, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { stamp } from '../format';
import { letters } from '../live/topics';
import { addressOf, keep } from '../route';
import { connection } from '../state';
import { list, show, troubleOf, type Letter, type Trouble } from './api';
import { bytes, members, pluginParts, pretty } from './content';
import './detail.css';
import { addressFor, rows } from './listing';
import { Copy, Flags, TroubleNote } from './parts';
import { Payload, Pre } from './payload';
import { compare } from './selection';
import { t, type Word } from './words';

/** A letter, with its JSON as the engine wrote it. */
interface Shown {
  letter: Letter;
  json: string;
}

/** What act does with letters: it begins to ask. */
export type Act = (what: 'replay' | 'drop' | 'export', id: string) => void;

/** One letter: why it was refused beside what the node was given. */
export function Detail({ id, close, act }: { id: string; close: () => void; act: Act }) {
  const { shown, trouble, again } = useLetter(id);
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    const section = heading.current?.closest('section');
    if (section && !section.contains(document.activeElement)) heading.current?.focus({ preventScroll: true });
    section?.scrollTo(0, 0);
  }, [id]);
  const l = shown?.letter.id === id ? shown.letter : undefined;
  return (
    <section class="detail" aria-labelledby="letter-title">
      <header class="top">
        <h2 id="letter-title" ref={heading} tabIndex={-1}>
          {l ? `${l.node}: ${l.code || l.class}` : t('letter')}
        </h2>
        {l && <Flags letter={l} />}
        <Neighbours id={id} />
        <button type="button" class="close" aria-label={t('close')} title={`${t('close')} (Esc)`} onClick={close}>
          ×
        </button>
      </header>
      {l && <Actions id={id} json={shown?.json ?? ''} act={act} />}
      {trouble?.status === 404 ? <p class="notice">{t('gone')}</p> : trouble && <TroubleNote trouble={trouble} retry={again} />}
      {l && (
        <div class="sides">
          <Failure letter={l} />
          <Original letter={l} json={shown?.json ?? ''} />
        </div>
      )}
    </section>
  );
}

/** Reads a letter, and once more when again is called or the engine is back. */
function useLetter(id: string): { shown: Shown | undefined; trouble: Trouble | undefined; again: () => void } {
  const shown = useSignal<Shown | undefined>(undefined);
  const trouble = useSignal<Trouble | undefined>(undefined);
  const tries = useSignal(0);
  useEffect(() => {
    const abort = new AbortController();
    trouble.value = undefined;
    show(id, abort.signal).then(
      (json) => (shown.value = { letter: JSON.parse(json), json: json.trim() }),
      (e) => !abort.signal.aborted && (trouble.value = troubleOf(e)),
    );
    return () => abort.abort();
  }, [id, tries.value]);
  useSignalEffect(() => {
    if (connection.value === 'live' && trouble.peek()?.status === 0) tries.value++;
  });
  return { shown: shown.value, trouble: trouble.value, again: () => void tries.value++ };
}

function Neighbours({ id }: { id: string }) {
  const at = rows.value.findIndex((l) => l.id === id);
  const go = (to: number): void => {
    const l = rows.value[to];
    if (l) keep({ id: l.id });
  };
  const button = (to: number, label: string, sign: string) => (
    <button type="button" aria-label={label} title={label} aria-disabled={at < 0 || !rows.value[to]} onClick={() => at >= 0 && go(to)}>
      {sign}
    </button>
  );
  return (
    <span class="neighbours">
      {button(at - 1, t('previous'), '↑')}
      {button(at + 1, t('next'), '↓')}
    </span>
  );
}

function Actions({ id, json, act }: { id: string; json: string; act: Act }) {
  return (
    <div class="acts" role="group" aria-label={t('actions')}>
      <button type="button" class="main" onClick={() => act('replay', id)}>
        {t('replay')}
      </button>
      <button type="button" class="danger" onClick={() => act('drop', id)}>
        {t('drop')}
      </button>
      <button type="button" onClick={() => act('export', id)}>
        {t('export')}
      </button>
      <Copy text={pretty(json) ?? json} what={t('letter')} label={t('copyJson')} />
      <Copy text={new URL(addressFor(id), location.href).href} what={t('letter')} label={t('copyLink')} />
    </div>
  );
}

/** What the node was given, and where it came from. */
function Original({ letter: l, json }: { letter: Letter; json: string }) {
  const event = members(members(json).get('event') ?? '');
  const record = event.get('record');
  const s = l.event?.source;
  const empty = !record && l.event?.payload === undefined && l.event?.payload_b64 === undefined && l.raw === undefined;
  return (
    <section class="side" aria-label={t('original')}>
      <h3>
        {t('original')} <span class="muted">{t('originalHint')}</span>
      </h3>
      {l.cut && <Cut cut={l.cut} />}
      <Payload letter={l} />
      {record && <Json title={t('record')} text={record} />}
      {empty && <p class="muted">{t('noContent')}</p>}
      <Headers text={event.get('headers')} />
      {s && (
        <Facts title={t('source')}>
          <Fact name={t('node')} value={s.node} node />
          <Fact name={t('exchange')} value={s.exchange} />
          <Fact name={t('routingKey')} value={s.routing_key} />
          <Fact name={t('queue')} value={s.queue} />
          <Fact name={t('messageId')} value={s.message_id} copy />
          <Fact name={t('redelivered')} value={t(s.redelivered ? 'yes' : 'no')} />
          <Fact name={t('key')} value={l.key} copy />
          <Fact name={t('eventTime')} value={timeOf(l.event?.time)} />
          <Fact name={t('contentType')} value={l.event?.content_type} />
          <Fact name={t('madeBy')} value={l.event?.plugin} />
        </Facts>
      )}
    </section>
  );
}

function Cut({ cut }: { cut: NonNullable<Letter['cut']> }) {
  return (
    <div class="notice warn">
      <strong>{t('cutTitle')}</strong> {t('cutText', { size: bytes(cut.length_bytes) })} <code>{cut.sha256}</code>
      <Copy text={cut.sha256} what="SHA-256" />
    </div>
  );
}

function Json({ title, text }: { title: string; text: string }) {
  const shown = pretty(text) ?? text;
  return (
    <div class="block" role="group" aria-label={title}>
      <header>
        <h4>{title}</h4>
        <Copy text={shown} what={title} />
      </header>
      <Pre text={shown} wrap />
    </div>
  );
}

/** A header's value as text: JSON strings without their quotes, the rest as written. */
function plainValue(text: string): string {
  return text.startsWith('"') ? JSON.parse(text) : text;
}

function Headers({ text }: { text: string | undefined }) {
  if (!text) return null;
  return (
    <Facts title={t('headers')} copy={pretty(text) ?? text}>
      {[...members(text)].map(([name, value]) => (
        <Fact key={name} name={name} value={plainValue(value)} />
      ))}
    </Facts>
  );
}

function timeOf(text: string | undefined): string | undefined {
  return text && stamp(Date.parse(text));
}

/** Why it was refused, by whom, and what names it. */
function Failure({ letter: l }: { letter: Letter }) {
  const plugin = l.plugin ? pluginParts(l.plugin) : undefined;
  return (
    <section class="side" aria-label={t('error')}>
      <h3>
        {t('error')} <span class="muted">{t('errorHint')}</span>
      </h3>
      <div class={`told ${l.class}`}>
        <p class="text">{l.text}</p>
        <Copy text={l.text} what={t('text')} />
      </div>
      <Order letter={l} />
      <Facts title={t('reason')}>
        <Fact name={t('node')} value={l.node} node />
        <Fact name={t('class')} value={l.class} hint={t(l.class as Word)} />
        <Fact name={t('code')} value={l.code} copy />
        <Fact name={t('plugin')} value={plugin?.name} />
        <Fact name={t('version')} value={plugin?.version} />
        <Fact name={t('hash')} value={plugin?.hash} copy />
        <Fact name={t('recordNumber')} value={l.record < 0 ? t('wholeEvent') : String(l.record)} />
        <Fact name={t('attempt')} value={String(l.attempt)} />
        <Fact name={t('when')} value={timeOf(l.time)} />
        <Fact name={t('generation')} value={l.generation} />
      </Facts>
      <Facts title={t('ids')} kind="ids">
        <Fact name={t('letterId')} value={l.id} copy />
        <Fact name={t('eventId')} value={l.event_id} copy />
        <Fact name={t('rootId')} value={l.root_id} copy />
        <Fact name={t('rootAt')} value={l.event?.root} copy />
        <Fact name={t('place')} value={l.stream} />
        <Fact name={t('entry')} value={l.at} copy />
      </Facts>
    </section>
  );
}

/** What a letter waits for, or which letters wait behind it. */
function Order({ letter: l }: { letter: Letter }) {
  const known = useSignal<Letter[] | undefined>(undefined);
  const some = l.waits || !!letters.value?.reasons.some((r) => r.node === l.node && r.code === 'waits');
  useEffect(() => {
    known.value = undefined;
    if (!some || !l.key) return;
    const abort = new AbortController();
    const q = new URLSearchParams({ node: l.node, key: l.key });
    list(q, { limit: '1000' }, abort.signal).then(
      (got) => (known.value = got.letters),
      () => undefined, // it is only told more of
    );
    return () => abort.abort();
  }, [l.id, some, letters.value]);
  if (!l.waits) {
    const behind = known.value?.filter((o) => o.waits && compare(o.id, l.id) > 0).length ?? 0;
    return behind ? <p class="notice">{t('holds', { n: behind })}</p> : null;
  }
  const blockers = known.value?.filter((o) => !o.waits);
  return <Waiting blockers={blockers} known={!!l.key} />;
}

const fewBlockers = 5;

function Waiting({ blockers, known }: { blockers: Letter[] | undefined; known: boolean }) {
  const text = !known || !blockers ? 'waitsNoKey' : blockers.length ? 'waitsText' : 'waitsGone';
  return (
    <div class="notice">
      <strong>{t('waitsTitle')}</strong> {t(text)}
      <ul>
        {blockers?.slice(0, fewBlockers).map((b) => (
          <li key={b.id}>
            <a href={addressFor(b.id)}>
              {timeOf(b.time)} {b.code || b.class}
            </a>{' '}
            {b.text}
          </li>
        ))}
        {(blockers?.length ?? 0) > fewBlockers && <li>{t('moreBlockers', { n: (blockers?.length ?? 0) - fewBlockers })}</li>}
      </ul>
    </div>
  );
}

function Facts({ title, kind, copy, children }: { title: string; kind?: string; copy?: string; children: ComponentChildren }) {
  return (
    <div class={kind ? `block ${kind}` : 'block'} role="group" aria-label={title}>
      <header>
        <h4>{title}</h4>
        {copy && <Copy text={copy} what={title} />}
      </header>
      <dl>{children}</dl>
    </div>
  );
}

interface FactProps {
  name: string;
  value: string | undefined;
  hint?: string;
  node?: boolean; // value is the id of one
  copy?: boolean;
}

/** A name and its value; nothing if there is none. */
function Fact({ name, value, hint, node, copy }: FactProps) {
  if (!value) return null;
  return (
    <>
      <dt>{name}</dt>
      <dd>
        {node ? (
          <a href={addressOf('graph', new URLSearchParams({ node: value }))} title={t('inGraph')}>
            {value}
          </a>
        ) : (
          <span>{value}</span>
        )}
        {copy && <Copy text={value} what={name} />}
        {hint && <small>{hint}</small>}
      </dd>
    </>
  );
}
