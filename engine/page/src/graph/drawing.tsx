import { useSignal } from '@preact/signals';
import type { JSX } from 'preact';
import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { graph } from '../live/topics';
import { into, nextOf, whole, zoomed, type Direction, type Size, type View } from './camera';
import { dragging } from './drag';
import { behind, fit, none, rate, total } from './figures';
import { curve, layout, type Layout, type Point, type Sizes } from './layout';
import { edgeKey, nodeKey, type EdgeItem, type NodeItem } from './model';
import { matches, select, selected, shown } from './watched';
import { t } from './words';

const full = { w: 212, h: 106 };
const compact = { w: 152, h: 84 };
const narrow = 640; // px; below it the layers follow each other downwards

/** The graph drawn, to be moved and scaled by mouse, fingers and keys. */
export function Drawing() {
  const g = graph.value;
  const size = useSignal<Size>({ w: 0, h: 0 });
  const moved = useSignal<View | undefined>(undefined); // undefined: all is shown
  const focus = useSignal('');
  const svg = useRef<SVGSVGElement>(null);
  const down = size.value.w < narrow;
  const l = useMemo(() => (g ? layout(g, sizes(down)) : undefined), [g, down]);
  const places = useMemo(() => (l ? placesOf(l) : new Map<string, Point>()), [l]);
  useLayoutEffect(() => {
    const watch = new ResizeObserver(([entry]) => {
      const r = entry?.contentRect;
      if (r) size.value = { w: r.width, h: r.height };
    });
    if (svg.current) watch.observe(svg.current);
    return () => watch.disconnect();
  }, []);
  const view = (): View => moved.peek() ?? whole(l ?? { w: 1, h: 1 }, size.peek());
  useLayoutEffect(() => dragging(svg.current as SVGSVGElement, view, (v) => (moved.value = v)), [l]);
  if (!l) return null;
  const zoom = (factor: number): void => void (moved.value = zoomed(view(), { x: size.value.w / 2, y: size.value.h / 2 }, factor));
  const go = (key: string): void => {
    focus.value = key;
    const at = places.get(key);
    if (at && moved.value) moved.value = into(moved.value, at, size.value);
    svg.current?.querySelector<SVGGElement>(`[data-key="${CSS.escape(key)}"]`)?.focus();
  };
  const keys = (e: KeyboardEvent): void => onKey(e, { places, go, zoom, all: () => (moved.value = undefined), view, move: (v) => (moved.value = v) });
  const v = moved.value ?? whole(l, size.value);
  const stop = places.has(focus.value) ? focus.value : places.has(selected.value) ? selected.value : places.keys().next().value;
  return (
    <div class="g-canvas" data-down={down} style={{ height: `${heightOf(l, size.value.w)}px` }}>
      <svg ref={svg} role="group" aria-label={t('canvas', { n: l.nodes.size })} onKeyDown={keys}>
        <g transform={`translate(${v.x.toFixed(1)} ${v.y.toFixed(1)}) scale(${v.k.toFixed(4)})`}>
          <Picture l={l} down={down} stop={stop ?? ''} />
        </g>
      </svg>
      <div class="g-zoom">
        <button type="button" aria-label={t('zoomIn')} title={t('zoomIn')} onClick={() => zoom(1.25)}>+</button>
        <button type="button" aria-label={t('zoomOut')} title={t('zoomOut')} onClick={() => zoom(0.8)}>−</button>
        <button type="button" aria-label={t('zoomFit')} title={t('zoomFit')} onClick={() => (moved.value = undefined)}>
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
            <path d="M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4" />
          </svg>
        </button>
      </div>
    </div>
  );
}

function sizes(down: boolean): Sizes {
  if (down) return { node: compact, down, most: 2, frame: 14, gap: { along: 44, across: 16 } };
  return { node: full, down, frame: 24, gap: { along: 140, across: 22 } };
}

/** The height that shows the whole graph at a window's width; the style bounds it. */
function heightOf(l: Layout, width: number): number {
  return Math.round(l.h * Math.min(1, (width - 24) / l.w) + 24);
}

/** Where each node and edge can be gone to: its middle. */
function placesOf(l: Layout): Map<string, Point> {
  const places = new Map<string, Point>();
  for (const [id, b] of l.nodes) places.set(nodeKey(id), { x: b.x + b.w / 2, y: b.y + b.h / 2 });
  for (const e of l.edges) if (e.points.length) places.set(edgeKey(e.from, e.to), middle(e.points));
  return places;
}

/** The middle of the longest step of a line. */
function middle(points: readonly Point[]): Point {
  let best = { far: -1, x: 0, y: 0 };
  points.forEach((p, i) => {
    const q = points[i - 1];
    if (!q) return;
    const far = Math.hypot(p.x - q.x, p.y - q.y);
    if (far > best.far) best = { far, x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 };
  });
  return best;
}

interface Means {
  places: Map<string, Point>;
  go: (key: string) => void;
  zoom: (factor: number) => void;
  all: () => void;
  view: () => View;
  move: (v: View) => void;
}

const step = 60; // px that a key moves the picture

function onKey(e: KeyboardEvent, m: Means): void {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const key = (e.target as Element).closest('[data-key]')?.getAttribute('data-key') ?? '';
  const arrow = e.key.startsWith('Arrow');
  if (arrow && e.shiftKey) {
    const v = m.view();
    const [dx, dy] = ({ ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] } as Record<string, [number, number]>)[e.key] ?? [0, 0];
    m.move({ ...v, x: v.x + dx, y: v.y + dy });
  } else if (arrow) {
    const next = nextOf(m.places, key, e.key as Direction);
    if (next) m.go(next);
  } else if (e.key === '+' || e.key === '=') m.zoom(1.25);
  else if (e.key === '-') m.zoom(0.8);
  else if (e.key === '0') m.all();
  else if (e.key === 'Escape') select('');
  else if ((e.key === 'Enter' || e.key === ' ') && key) select(key);
  else return;
  e.preventDefault();
}

function Picture({ l, down, stop }: { l: Layout; down: boolean; stop: string }) {
  const { nodes, edges } = shown.value;
  return (
    <>
      {l.stages.map((s) => (
        <g key={s.id} class="g-stage">
          <rect x={s.x} y={s.y} width={s.w} height={s.h} rx="10" />
          <text x={s.x + 10} y={s.y + 15}>{fit(t('stage', { id: s.id }), s.w - 20, 11)}</text>
        </g>
      ))}
      {edges.map((e, i) => <EdgeLine key={e.key} e={e} points={l.edges[i]?.points ?? []} down={down} stop={stop} />)}
      {nodes.map((n) => {
        const b = l.nodes.get(n.id);
        return b && (down ? <SmallBox key={n.key} n={n} x={b.x} y={b.y} stop={stop} /> : <NodeBox key={n.key} n={n} x={b.x} y={b.y} stop={stop} />);
      })}
    </>
  );
}

/** What makes a part of the picture a button. Its name is an unseen text, which does not change with the figures. */
function part(item: NodeItem | EdgeItem, stop: string): JSX.SVGAttributes<SVGGElement> {
  return {
    role: 'button', tabindex: item.key === stop ? 0 : -1, 'aria-pressed': item.key === selected.value,
    'data-key': item.key, 'data-pressure': item.pressure, onClick: () => select(item.key),
  } as JSX.SVGAttributes<SVGGElement>;
}

function EdgeLine({ e, points, down, stop }: { e: EdgeItem; points: readonly Point[]; down: boolean; stop: string }) {
  if (!points.length) return null;
  const d = curve(points, down);
  const at = middle(points);
  const label = `${e.name}, ${e.stream ? `${t('stream')} ${e.stream}` : t('directText')}, ${t(e.pressure)}`;
  return (
    <g class={`g-edge${e.stream ? ' rests' : ''}${matches(e) ? '' : ' dim'}`} {...part(e, stop)}>
      <text class="unseen">{label}</text>
      <g aria-hidden="true">
        <path class="hit" d={d} />
        <path class="line" d={d} />
        {e.stream && !down && (
          <g class="chip-box" transform={`translate(${at.x - 56} ${at.y - 17})`}>
            <rect width="112" height="34" rx="6" />
            <text x="8" y="14" class="strong">{fit(e.stream, e.pressure === 'ok' ? 96 : 52, 11)}</text>
            {e.pressure !== 'ok' && <text x="104" y="14" class="end state">{t(e.pressure)}</text>}
            <text x="54" y="28" class="end">{perSecond(e.out)}</text>
            <text x="104" y="28" class="end">{e.lag ? total(e.lag.events) : '–'}</text>
          </g>
        )}
        <title>{label}</title>
      </g>
    </g>
  );
}

function NodeBox({ n, x, y, stop }: { n: NodeItem; x: number; y: number; stop: string }) {
  const label = nameOf(n);
  const right = full.w - 12;
  return (
    <g class={`g-node${matches(n) ? '' : ' dim'}`} transform={`translate(${x} ${y})`} {...part(n, stop)}>
      <text class="unseen">{label}</text>
      <g aria-hidden="true">
        <rect class="body" width={full.w} height={full.h} rx="8" />
        <rect class="stripe" x="4" y="8" width="6" height={full.h - 16} rx="2" />
        <text x="18" y="21" class="strong name">{fit(n.id, 118, 13)}</text>
        <text x={right} y="21" class="end state">{t(n.pressure)}</text>
        <text x="18" y="38" class="quiet">{fit(`${kindOf(n)} · ${n.counted.plugin?.runs ?? n.type}`, right - 18, 11)}</text>
        <Figure x={18} end={104} y={58} label={t('inShort')} value={perSecond(n.in)} />
        <Figure x={118} end={right} y={58} label={t('outShort')} value={perSecond(n.out)} />
        <Figure x={18} end={right} y={76} label={t('lagShort')} value={behind(n.lag)} />
        <Small x={18} y={95} label={t('errorsShort')} value={n.counted.rejected} />
        <Small x={78} y={95} label={t('retriesShort')} value={n.counted.retries} />
        <Small x={144} y={95} label={t('deadShort')} value={n.counted.dead_letters} />
        <title>{label}</title>
      </g>
    </g>
  );
}

/** A node on a narrow page: what matters most; the details have the rest. */
function SmallBox({ n, x, y, stop }: { n: NodeItem; x: number; y: number; stop: string }) {
  const right = compact.w - 10;
  const bad = n.counted.dead_letters ? `${t('deadShort')} ${total(n.counted.dead_letters)}` : '';
  return (
    <g class={`g-node${matches(n) ? '' : ' dim'}`} transform={`translate(${x} ${y})`} {...part(n, stop)}>
      <text class="unseen">{nameOf(n)}</text>
      <g aria-hidden="true">
        <rect class="body" width={compact.w} height={compact.h} rx="8" />
        <rect class="stripe" x="4" y="8" width="6" height={compact.h - 16} rx="2" />
        <text x="16" y="20" class="strong name">{fit(n.id, n.pressure === 'ok' ? 104 : 76, 13)}</text>
        <text x={right} y="20" class="end state">{t(n.pressure)}</text>
        <text x="16" y="37" class="quiet">{fit(`${kindOf(n)} · ${n.type}`, bad ? 70 : right - 16, 11)}</text>
        <text x={right} y="37" class="end bad">{bad}</text>
        <Figure x={16} end={right} y={56} label={t('outShort')} value={perSecond(n.out)} />
        <Figure x={16} end={right} y={73} label={t('lagShort')} value={behind(n.lag)} />
      </g>
    </g>
  );
}

const nameOf = (n: NodeItem): string => `${n.id}, ${kindOf(n)} ${n.type}, ${t(n.pressure)}`;

const perSecond = (v: number | undefined): string => (v === undefined ? none : `${rate(v)}/s`);

function Figure({ x, end, y, label, value }: { x: number; end: number; y: number; label: string; value: string }) {
  return (
    <>
      <text x={x} y={y} class="quiet">{label}</text>
      <text x={end} y={y} class="end">{value}</text>
    </>
  );
}

function Small({ x, y, label, value }: { x: number; y: number; label: string; value: number | undefined }) {
  return (
    <text x={x} y={y} class={value ? 'bad' : 'quiet'}>
      {label} {total(value)}
    </text>
  );
}

/** A node's kind in words; one that this page does not know as it is. */
export function kindOf(n: NodeItem): string {
  const known = ['source', 'transform', 'plugin', 'sink', 'chart'] as const;
  const kind = n.type === 'chart' ? 'chart' : n.kind;
  return known.some((k) => k === kind) ? t(kind as (typeof known)[number]) : kind;
}
