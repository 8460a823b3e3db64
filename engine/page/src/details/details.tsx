import { clock, zoneName } from '../format';
import { fine } from '../i18n';
import { beat, chip, connection, refused, silentFor, store } from '../state';
import './details.css';
import { t } from './words';

/** What the state of the connection means, in a sentence. */
function meaning(): string {
  const state = chip();
  if (state === 'refused') return refused.value?.message ?? '';
  if (state === 'stale') return store.logAway ? t('logAway') : t('staleHint', { seconds: silentFor() });
  if (state === 'lagging') return t('laggingHint', { lag: fine(store.lagMs) });
  if (state === 'live') return t('liveHint');
  return t('reconnectingHint', { seconds: silentFor() });
}

function signed(ms: number): string {
  const sign = Math.abs(ms) < 50 ? '' : ms < 0 ? '\u2212' : '+';
  return sign + fine(Math.abs(ms));
}

/** Time of the newest value of all charts, ms; 0 if there is none. */
function newestValue(): number {
  let newest = 0;
  for (const chart of store.charts) for (const line of chart.lines) newest = Math.max(newest, line.column.newest || 0);
  return newest;
}

/** The numbers behind the state. */
function facts(): [string, string][] {
  const known: [string, string][] = [[t('heard'), t('ago', { age: fine(silentFor() * 1000) })]];
  if (connection.value !== 'live') return known;
  known.push([t('lag'), fine(store.lagMs)], [t('skew'), signed(store.skew.ms)]);
  const newest = newestValue();
  if (newest) known.push([t('newest'), t('ago', { age: fine(Math.max(store.serverNow() - newest, 0)) })]);
  known.push([t('serverTime'), `${clock(store.serverNow())} ${zoneName()}`]);
  return known;
}

/** What the state of the connection means, and the numbers behind it. */
export function Details() {
  void beat.value;
  return (
    <>
      <span>{meaning()}</span>
      {facts().map(([name, value]) => (
        <span key={name} class="fact">
          <span>{name}</span> <b>{value}</b>
        </span>
      ))}
    </>
  );
}
