import { useSignal } from '@preact/signals';
import { useEffect, useMemo } from 'preact/hooks';
import { count } from '../format';
import { graph } from '../live/topics';
import { Compare } from './compare';
import type { Tapped } from './diff';
import { List } from './list';
import { PastView } from './past-view';
import { rests } from './paths';
import { Refusal } from './refusal';
import { kept, LiveTap } from './tap';
import { t } from './words';

/** The events of a node, live and past, and what it made of one of them. */
export function Events({ node, comparable }: { node: string; comparable: boolean }) {
  const past = useSignal(false);
  const chosen = useSignal<Tapped | undefined>(undefined);
  const tap = useMemo(() => new LiveTap(node), [node]);
  useEffect(() => () => tap.stop(), [tap]);
  const own = graph.value ? rests(graph.value, node) : true;
  const compare = comparable ? (e: Tapped): void => void (chosen.value = e) : undefined;
  return (
    <section class="g-events" aria-label={t('events')}>
      <h3>{t('events')}</h3>
      <p class="g-quiet">{t(own ? 'ownEvents' : 'readEvents', { node })}</p>
      <div role="group" class="g-switch" aria-label={t('events')}>
        <button type="button" aria-pressed={!past.value} onClick={() => (past.value = false)}>{t('live')}</button>
        <button type="button" aria-pressed={past.value} onClick={() => (past.value = true)}>{t('past')}</button>
      </div>
      {past.value ? <PastView node={node} compare={compare} /> : <LiveView tap={tap} compare={compare} />}
      {comparable && <Compare node={node} event={chosen.value} />}
    </section>
  );
}

function LiveView({ tap, compare }: { tap: LiveTap; compare: ((e: Tapped) => void) | undefined }) {
  const on = tap.state.value === 'on';
  const events = tap.events.value;
  return (
    <>
      <div class="g-row">
        {on || tap.state.value === 'asking' ? (
          <button type="button" onClick={() => tap.stop()}>{t('stop')}</button>
        ) : (
          <button type="button" class="main" onClick={() => void tap.start()}>{t('watch')}</button>
        )}
        {on && (
          <button type="button" aria-pressed={tap.frozen.value} onClick={() => (tap.frozen.value ? tap.resume() : (tap.frozen.value = true))}>
            {t(tap.frozen.value ? 'resume' : 'freeze')}
          </button>
        )}
        {events.length > 0 && <button type="button" onClick={() => tap.clear()}>{t('clear')}</button>}
      </div>
      {tap.state.value === 'refused' && <Refusal status={tap.status.value} node={tap.node} text="" />}
      <Ratio tap={tap} />
      <List events={events} label={t('live')} compare={compare} opened={() => on && (tap.frozen.value = true)} />
      {events.length >= kept && <p class="g-quiet">{t('keptNewest', { n: kept })}</p>}
    </>
  );
}

function Ratio({ tap }: { tap: LiveTap }) {
  const [passed, read] = [tap.passed.value, tap.read.value];
  if (!passed) return tap.state.value === 'on' ? <p class="g-quiet">{t('waitingFor')}</p> : null;
  const share = Math.floor((read / passed) * 100);
  return (
    <p class="g-quiet">
      {t('ratio', { read: count(read), passed: count(passed), share })}
      {tap.frozen.value && ` ${t('missed', { n: count(tap.missed.value) })}`}
    </p>
  );
}
