import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { held } from '../charts/time';
import { clock, stamp } from '../format';
import { marks } from '../live/topics';
import { beat, now } from '../state';
import { Said } from './banner';
import { field, fraction, timeAt, typed } from './clock';
import { kept } from './log';
import { begin, gone, playing, press, seek, source, speed, speeds, step, stretch, toggle } from './player';
import { Rerun } from './panel';
import './scrub.css';
import { t } from './words';

export { Banner } from './banner';

/** The time at the right edge in words. */
function place(): string {
  return held.value === undefined ? t('live') : stamp(held.value).slice(0, 19);
}

/** Where on the track the pointer is, as a time. */
function pointed(e: PointerEvent): number {
  const box = (e.currentTarget as HTMLElement).getBoundingClientRect();
  return timeAt((e.clientX - box.left) / box.width, stretch());
}

/** The bar that is dragged; it can be moved with keys as well. */
function Track() {
  const s = stretch();
  const at = held.value ?? s.to;
  const dragged = useSignal(false);
  const drag = (e: PointerEvent): void => {
    playing.value = false;
    seek(pointed(e));
  };
  return (
    <div
      class="track"
      role="slider"
      tabIndex={0}
      aria-label={t('timeline')}
      aria-valuemin={Math.round(s.from / 1000)}
      aria-valuemax={Math.round(s.to / 1000)}
      aria-valuenow={Math.round(at / 1000)}
      aria-valuetext={place()}
      onKeyDown={(e) => press(e.key, e.shiftKey) && e.preventDefault()}
      onPointerDown={(e) => {
        e.currentTarget.setPointerCapture(e.pointerId);
        dragged.value = true;
        drag(e);
      }}
      onPointerMove={(e) => dragged.value && drag(e)}
      onPointerUp={() => (dragged.value = false)}
      onPointerCancel={() => (dragged.value = false)}
    >
      <i class="gone" style={{ width: `${100 * fraction(at, s)}%` }} />
      {marks.value
        .filter((m) => m.time >= s.from && m.time <= s.to)
        .map((m) => (
          <i key={m.id} class="mark" title={`${clock(m.time)} ${m.text}`} style={{ left: `${100 * fraction(m.time, s)}%` }} />
        ))}
      <i class="thumb" style={{ left: `${100 * fraction(at, s)}%` }} />
    </div>
  );
}

/** The marks as a list, for those who do not point. */
function Marks() {
  const s = stretch();
  const list = marks.value.filter((m) => m.time >= s.from);
  if (!list.length) return null;
  return (
    <select aria-label={t('marks')} value="" onChange={(e) => seek(Number(e.currentTarget.value))}>
      <option value="">{t('marksNone')}</option>
      {list.map((m) => (
        <option key={m.id} value={String(m.time)}>
          {clock(m.time)} {m.text}
        </option>
      ))}
    </select>
  );
}

/** A time to go to, and what to say if it is not kept. */
function GoTo() {
  const text = useSignal<string | undefined>(undefined); // while it is written
  const shown = text.value ?? field(held.value ?? now());
  const go = (e: Event): void => {
    e.preventDefault();
    const at = typed(shown);
    if (at === undefined) return;
    text.value = undefined;
    const missing = at < stretch().from - 1000;
    seek(at);
    gone.value = missing ? at : undefined;
  };
  return (
    <form class="goto" onSubmit={go}>
      <input
        type="datetime-local"
        step="1"
        aria-label={t('goTo')}
        value={shown}
        onFocus={() => (text.value = shown)}
        onInput={(e) => (text.value = e.currentTarget.value)}
      />
      <button type="submit">{t('go')}</button>
    </form>
  );
}

const icons = { back: 'M9 2v10L3 7z', forth: 'M5 2v10l6-5z', play: 'M4 2v10l8-5z', pause: 'M4 2h2.500v10H4zM8 2h2.500v10H8z' };

function Icon({ name }: { name: keyof typeof icons }) {
  return (
    <svg viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">
      <path d={icons[name]} fill="currentColor" />
    </svg>
  );
}

function Controls() {
  const idle = !source.value;
  return (
    <div class="controls">
      <button type="button" aria-label={t('stepBack')} title={t('stepBack')} onClick={() => step(false)}>
        <Icon name="back" />
      </button>
      <button type="button" disabled={idle} aria-label={t(playing.value ? 'pause' : 'play')} title={t(playing.value ? 'pause' : 'play')} onClick={toggle}>
        <Icon name={playing.value ? 'pause' : 'play'} />
      </button>
      <button type="button" disabled={idle} aria-label={t('stepForth')} title={t('stepForth')} onClick={() => step(true)}>
        <Icon name="forth" />
      </button>
      <select aria-label={t('speed')} value={String(speed.value)} onChange={(e) => (speed.value = Number(e.currentTarget.value))}>
        {speeds.map((s) => (
          <option key={s} value={String(s)}>
            {s}×
          </option>
        ))}
      </select>
      <output class="place">{place()}</output>
      <Marks />
      <GoTo />
    </div>
  );
}

/** Says that a time is not kept, or only in the journal. */
function Gone() {
  const charts = stamp(stretch().from).slice(0, 19);
  const inJournal = (gone.value ?? 0) >= (kept.value?.journal.whole || Infinity);
  return gone.value === undefined ? null : <p role="alert">{t(inJournal ? 'journalHint' : 'gone', { charts })}</p>;
}

/** How far back it goes: the charts, and before them the journal. */
function Reach() {
  const k = kept.value;
  if (!k) return null;
  if (!k.charts.oldest && !k.journal.oldest) return <span class="reach">{t('nothing')}</span>;
  const charts = stamp(stretch().from).slice(0, 19);
  const older = k.journal.whole < k.charts.whole - 60_000 && k.journal.oldest > 0;
  return (
    <>
      {older && (
        <span class="journal" title={t('journalHint', { charts })}>
          {t('journalSince', { time: stamp(k.journal.whole).slice(0, 19) })}
        </span>
      )}
      <span class="reach">{t('reaches', { time: charts })}</span>
    </>
  );
}

/** The timeline under the charts, and above them what tells that they show the past. */
export function Timeline() {
  void beat.value;
  const panel = useSignal(false);
  const opener = useRef<HTMLButtonElement>(null);
  useEffect(begin, []);
  const close = (): void => {
    panel.value = false;
    opener.current?.focus();
  };
  return (
    <>
      <Said past={!!source.value} />
      <section class="timeline" aria-label={t('timeline')}>
        {panel.value && <Rerun close={close} />}
        <Track />
        <div class="under">
          <Reach />
          <Controls />
          <button ref={opener} type="button" class="open" aria-expanded={panel.value} onClick={() => (panel.value ? close() : (panel.value = true))}>
            {t('replay')}
          </button>
        </div>
        <Gone />
      </section>
    </>
  );
}
