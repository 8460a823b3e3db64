import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import './controls.css';
import { clock } from '../format';
import { duration } from '../i18n';
import { marks, type Mark } from '../live/topics';
import { beat, now, store } from '../state';
import { chooseEnvelope, envelope } from './envelope';
import { alarmsOf } from './levels';
import { kindOf } from './marks';
import { followKeys, goTo, isZoomed, reset, togglePause } from './navigate';
import { held, release } from './time';
import { w } from './words';

const rowsShown = 50;

function newestMarks(): Mark[] {
  const alarms = store.charts.flatMap(alarmsOf);
  return [...marks.value, ...alarms].sort((a, b) => b.time - a.time).slice(0, rowsShown);
}

function Event({ mark }: { mark: Mark }) {
  const at = clock(mark.time);
  const kind = kindOf(mark);
  return (
    <li class={`mark-${kind}`}>
      <i aria-hidden="true" />
      <button type="button" aria-label={w('goTo', { time: at })} onClick={() => goTo(mark.time)}>
        {at}
      </button>
      <span class="kind">{w(kind)}</span>
      <span>{mark.text}</span>
    </li>
  );
}

/** What happened, newest first. */
function EventList() {
  void beat.value;
  const all = newestMarks();
  if (!all.length) return <p class="events">{w('noEvents')}</p>;
  return (
    <ol class="events" tabIndex={0} aria-label={w('events')}>
      {all.map((m) => (
        <Event key={m.id} mark={m} />
      ))}
    </ol>
  );
}

/** Says, in sight wherever the page is scrolled to, that charts stand still, and by how much. */
function Badge() {
  void beat.value;
  const at = held.value;
  return (
    <>
      <span class="unseen" role="status">
        {at === undefined ? '' : w('paused')}
      </span>
      {at !== undefined && (
        <div class="held">
          <span>
            <strong>{w('paused')}</strong> {w('behind', { age: duration(Math.max(now() - at, 0)) })}
          </span>
          <button type="button" onClick={release}>
            {w('resume')}
          </button>
        </div>
      )}
    </>
  );
}

/** What is done with the time that all charts show. */
export function Controls() {
  useEffect(followKeys, []);
  const open = useSignal(false); // the list of events
  const paused = held.value !== undefined;
  return (
    <div class="time-controls" role="group" aria-label={w('handling')} title={w('keys')}>
      <button type="button" class="pause" aria-pressed={paused} title={w('pauseHint')} onClick={togglePause}>
        <svg viewBox="0 0 10 10" width="10" height="10" aria-hidden="true">
          <path d={paused ? 'M1 0L10 5L1 10Z' : 'M1 0H4V10H1ZM6 0H9V10H6Z'} />
        </svg>
        {w('pause')}
      </button>
      {isZoomed() && (
        <button type="button" title={w('resetHint')} onClick={reset}>
          {w('resetZoom')}
        </button>
      )}
      <button type="button" aria-pressed={envelope.value} title={w('envelopeHint')} onClick={() => chooseEnvelope(!envelope.value)}>
        {w('envelope')}
      </button>
      <button type="button" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
        {w('events')}
      </button>
      {open.value && <EventList />}
      <Badge />
    </div>
  );
}
