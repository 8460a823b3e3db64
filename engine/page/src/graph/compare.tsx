import { useSignal, type Signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { clock } from '../format';
import { graph, type Graph } from '../live/topics';
import { store } from '../state';
import { diff, relatives, type Row, type Tapped } from './diff';
import { past, range } from './past';
import { failureOf } from './past-view';
import { after, before, between, rests } from './paths';
import { Refusal } from './refusal';
import { t } from './words';

/** An event and its counterparts on the other side of a node. */
interface Family {
  back: boolean; // the event came out; the counterparts went in
  found: { node: string; event: Tapped }[]; // the most alike first
}

/** Looks for what went into a node, or came out of it, of the same message as e. */
async function familyOf(g: Graph, node: string, e: Tapped, signal: AbortSignal): Promise<Family> {
  const back = rests(g, node);
  const places = back ? before(g, node) : after(g, node);
  const query = range(e, back, store.serverNow());
  const sets = await Promise.all(places.map(async (n) => (await past(n, query, signal)).events.map((event) => ({ node: n, event }))));
  const all = sets.flat();
  const ranked = relatives(e, all.map((f) => f.event));
  const found = ranked.map((event) => all.find((f) => f.event === event) as { node: string; event: Tapped });
  return { back, found };
}

/** What node made of an event, field by field. */
export function Compare({ node, event }: { node: string; event: Tapped | undefined }) {
  const family = useSignal<Family | undefined>(undefined);
  const failed = useSignal<ReturnType<typeof failureOf> | undefined>(undefined);
  const which = useSignal(0);
  useEffect(() => {
    const g = graph.peek();
    if (!event || !g) return undefined;
    const control = new AbortController();
    family.value = failed.value = undefined;
    which.value = 0;
    familyOf(g, node, event, control.signal).then(
      (f) => void (control.signal.aborted || (family.value = f)),
      (e) => void (control.signal.aborted || (failed.value = failureOf(e))),
    );
    return () => control.abort();
  }, [node, event]);
  return (
    <section class="g-compare" aria-label={t('compareTitle')}>
      <h3>{t('compareTitle')}</h3>
      {!event && <p class="g-quiet">{t('compareHint', { node })}</p>}
      {event && !family.value && !failed.value && <p class="g-quiet">{t('asking')}</p>}
      {failed.value && <Refusal {...failed.value} node={node} />}
      {event && family.value && <Pair event={event} node={node} f={family.value} which={which} />}
    </section>
  );
}

function Pair({ event, node, f, which }: { event: Tapped; node: string; f: Family; which: Signal<number> }) {
  const other = f.found[which.value];
  if (!other) return <p class="notice" role="status">{t('noFamily')}</p>;
  const [into, outOf] = f.back ? [other.event, event] : [event, other.event];
  const [from, to] = f.back ? [other.node, node] : [node, other.node];
  const passed = graph.value ? between(graph.value, from, to) : [];
  const at = (e: Tapped, n: string): string => `${n}, ${clock(Date.parse(e.appended), true)}`;
  return (
    <>
      {passed.length > 0 && <p class="g-quiet">{t('between', { nodes: passed.join(', ') })}</p>}
      {f.found.length > 1 && <Choice which={which} n={f.found.length} />}
      <Rows rows={diff(into, outOf)} before={at(into, from)} after={at(outOf, to)} />
    </>
  );
}

function Choice({ which, n }: { which: Signal<number>; n: number }) {
  return (
    <div class="g-row">
      <button type="button" disabled={which.value === 0} onClick={() => which.value--}>{t('previous')}</button>
      <span role="status">{t('nth', { i: which.value + 1, n })}</span>
      <button type="button" disabled={which.value === n - 1} onClick={() => which.value++}>{t('next')}</button>
    </div>
  );
}

const signs = { added: '+', removed: '−', changed: '~', same: '=' } as const;

function Rows({ rows, before, after }: { rows: Row[]; before: string; after: string }) {
  const all = useSignal(false);
  const same = rows.filter((r) => r.change === 'same').length;
  const shown = all.value ? rows : rows.filter((r) => r.change !== 'same');
  return (
    <>
      <div class="g-table" tabIndex={0} role="region" aria-label={t('fieldByField')}>
        <table class="g-diff">
          <thead>
            <tr>
              <th scope="col">{t('field')}</th>
              <th scope="col">{t('change')}</th>
              <th scope="col">{t('before')}<small>{before}</small></th>
              <th scope="col">{t('after')}<small>{after}</small></th>
            </tr>
          </thead>
          <tbody>
            {shown.map((r) => (
              <tr key={r.path} data-change={r.change}>
                <th scope="row">{r.path}</th>
                <td>{signs[r.change]} {t(r.change)}</td>
                <td>{r.before ?? ''}</td>
                <td>{r.after ?? ''}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {!shown.length && <p class="g-quiet" role="status">{t('nothingChanged')}</p>}
      {same > 0 && (
        <label class="g-check">
          <input type="checkbox" checked={all.value} onChange={(e) => (all.value = e.currentTarget.checked)} /> {t('withSame', { n: same })}
        </label>
      )}
    </>
  );
}
