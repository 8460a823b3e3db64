import { useSignal } from '@preact/signals';
import type { Letter } from './api';
import { bytes, bytesOf, hexDump, pretty } from './content';
import { Copy } from './parts';
import { t } from './words';

type Form = 'pretty' | 'plain' | 'hex';

const firstChars = 64 << 10; // of a text that are shown at once
const firstBytes = 8 << 10; // of a hex dump

/** What a node was given, or what was found in its place: a text, or bytes. */
interface Content {
  title: string;
  text: string;
  bytes: Uint8Array;
  binary: boolean;
}

function contentOf(l: Letter): Content | undefined {
  const text = l.event?.payload;
  if (text !== undefined) return { title: t('payload'), text, bytes: new TextEncoder().encode(text), binary: false };
  const base64 = l.event?.payload_b64 ?? l.raw;
  if (base64 === undefined) return undefined;
  const all = bytesOf(base64);
  return { title: l.raw === undefined ? t('payload') : t('rawEntry'), text: new TextDecoder().decode(all), bytes: all, binary: true };
}

/** The content of a letter's event: text only, whatever is in it. */
export function Payload({ letter }: { letter: Letter }) {
  const c = contentOf(letter);
  if (!c) return null;
  const json = c.binary ? undefined : pretty(c.text);
  const forms: Form[] = [...(json === undefined ? [] : ['pretty' as const]), 'plain', 'hex'];
  return <Forms content={c} json={json} forms={forms} first={c.binary ? 'hex' : (forms[0] ?? 'plain')} />;
}

function Forms({ content: c, json, forms, first }: { content: Content; json: string | undefined; forms: Form[]; first: Form }) {
  const chosen = useSignal<Form>(first);
  const grown = useSignal(1);
  const form = forms.includes(chosen.value) ? chosen.value : first;
  const limit = (form === 'hex' ? firstBytes : firstChars) * grown.value;
  const whole = form === 'pretty' ? (json ?? '') : c.text;
  const shown = form === 'hex' ? hexDump(c.bytes.subarray(0, limit)) : whole.slice(0, limit);
  const length = form === 'hex' ? c.bytes.length : whole.length;
  return (
    <div class="block" role="group" aria-label={c.title}>
      <header>
        <h4>{c.title}</h4>
        <span class="muted">{bytes(c.bytes.length)}</span>
        <span class="forms" role="group" aria-label={t('view')}>
          {forms.map((f) => (
            <button key={f} type="button" aria-pressed={form === f} onClick={() => (chosen.value = f)}>
              {t(f)}
            </button>
          ))}
        </span>
        <Copy text={form === 'hex' ? hexDump(c.bytes) : whole} what={c.title} />
      </header>
      <Pre text={shown} wrap={form !== 'hex'} />
      {length > limit && (
        <button type="button" class="plain" onClick={() => (grown.value *= 4)}>
          {t('showAll', { shown: bytes(limit), size: bytes(length) })}
        </button>
      )}
    </div>
  );
}

/** A text as it is, which the keyboard can scroll. */
export function Pre({ text, wrap }: { text: string; wrap: boolean }) {
  return (
    <pre class={wrap ? 'wrap' : ''} tabIndex={0}>
      {text}
    </pre>
  );
}
