import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { graph } from '../live/topics';
import { kindOf } from './drawing';
import { Events } from './events';
import { behind, rate, total } from './figures';
import type { EdgeItem, NodeItem } from './model';
import { rests } from './paths';
import { select, selected, shown } from './watched';
import { t } from './words';

/** Details of the selected node or edge, beside the graph and its tables. */
export function Panel() {
  const { nodes, edges } = shown.value;
  const item = [...nodes, ...edges].find((i) => i.key === selected.value);
  const title = useRef<HTMLHeadingElement>(null);
  const from = useRef(document.activeElement);
  useEffect(() => {
    if (!item) return undefined;
    title.current?.focus({ preventScroll: matchMedia('(min-width: 1000px)').matches });
    return () => back(from.current);
  }, []);
  if (!item) return null;
  const onKeyDown = (e: KeyboardEvent): void => void (e.key === 'Escape' && select(''));
  return (
    <aside class="g-panel" aria-label={t('details', { name: item.name })} onKeyDown={onKeyDown} data-pressure={item.pressure}>
      <header>
        <h2 ref={title} tabIndex={-1}>{item.name}</h2>
        <button type="button" onClick={() => select('')}>{t('close')}</button>
      </header>
      <dl class="g-facts">
        <Fact name={t('flow')}><span class="state">{t(item.pressure)}</span></Fact>
        {item.why.map((w) => <Fact key={w} name={t('why')}>{w}</Fact>)}
        {'id' in item ? <NodeFacts n={item} /> : <EdgeFacts e={item} />}
      </dl>
      <Events node={'id' in item ? item.id : item.from} comparable={'id' in item && (item.kind === 'transform' || item.kind === 'plugin')} />
    </aside>
  );
}

/** Gives the focus back to what opened the panel, or to what stands in its place. */
function back(opener: Element | null): void {
  const key = opener?.getAttribute('data-key') ?? opener?.closest('[data-key]')?.getAttribute('data-key');
  const again = key && document.querySelector<HTMLElement>(`.g-main [data-key="${CSS.escape(key)}"]`);
  const target = again instanceof HTMLTableRowElement ? again.querySelector('button') : again;
  if (target && (document.activeElement === document.body || document.activeElement?.closest('.g-panel'))) target.focus({ preventScroll: true });
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </>
  );
}

function NodeFacts({ n }: { n: NodeItem }) {
  const g = graph.value;
  const into = g?.edges.filter((e) => e.to === n.id).map((e) => e.from) ?? [];
  const outOf = g?.edges.filter((e) => e.from === n.id) ?? [];
  const plugin = n.counted.plugin;
  return (
    <>
      <Fact name={t('kind')}>{kindOf(n)}</Fact>
      <Fact name={t('type')}>{n.type}</Fact>
      {n.stage && <Fact name={t('stageName')}>{n.stage}</Fact>}
      {into.length > 0 && <Fact name={t('inputs')}>{into.join(', ')}</Fact>}
      {outOf.length > 0 && <Fact name={t('outputs')}>{outOf.map((e) => e.to).join(', ')}</Fact>}
      {outOf.length > 0 && <Fact name={t('stream')}>{g && rests(g, n.id) ? outOf.find((e) => e.stream)?.stream : t('restsNowhere')}</Fact>}
      {plugin && <Fact name={t('runs')}>{plugin.runs}</Fact>}
      {plugin?.spare && <Fact name={t('program')}>{t('trial', { spare: plugin.spare })}</Fact>}
      {plugin && <Fact name={t('restarts')}>{total(plugin.restarts)}</Fact>}
      {n.lag && <Fact name={t('behind')}>{behind(n.lag)}</Fact>}
      {n.counted.in !== undefined && <Fact name={t('totalIn')}>{total(n.counted.in)} · {rate(n.in)}/s</Fact>}
      {n.counted.out !== undefined && <Fact name={t('totalOut')}>{total(n.counted.out)} · {rate(n.out)}/s</Fact>}
      {n.counted.rejected !== undefined && <Fact name={t('rejected')}>{total(n.counted.rejected)}</Fact>}
      {n.counted.retries !== undefined && <Fact name={t('retries')}>{total(n.counted.retries)}</Fact>}
      {n.counted.dead_letters !== undefined && <Fact name={t('dead')}>{total(n.counted.dead_letters)}</Fact>}
    </>
  );
}

function EdgeFacts({ e }: { e: EdgeItem }) {
  return (
    <>
      <Fact name={t('stream')}>{e.stream || t('restsNowhere')}</Fact>
      <Fact name={t('rate')}>{rate(e.out)}</Fact>
      {e.stream && <Fact name={t('behind')}>{behind(e.lag)}</Fact>}
    </>
  );
}
