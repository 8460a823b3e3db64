import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { held } from '../charts/time';
import { count, stamp } from '../format';
import { now, span } from '../state';
import { field, replayName, typed, type Stretch } from './clock';
import { back, enter, playing, source } from './player';
import { follow, list, over, refusal, ReplayCharts, replays, shown, start, want, type Comparison, type Status, type Wish } from './rerun';
import { t } from './words';

/** The stretch that a form asks for first: what the charts show. */
function offered(): Stretch {
  const to = held.value ?? now();
  return { from: to - span(), to };
}

/** Shows a replay: how far it has come, and its charts while it runs. */
function watch(s: Status): void {
  shown.value = s;
  void follow(s.name);
  if (s.mode !== 'shadow' || over(s)) return;
  const [from, to] = [Date.parse(s.from), Date.parse(s.to)];
  let begun = false;
  const charts = new ReplayCharts(s.name, { from, to }, () => {
    if (!begun && s.state === 'paused') void want(s.name, 'resume');
    begun = true;
  });
  back();
  showing = charts;
  keepUp(charts);
}

let showing: ReplayCharts | undefined;

/** Moves the right edge with the newest point, until somebody moves it himself. */
function keepUp(charts: ReplayCharts): void {
  const timer = setInterval(() => {
    const at = held.value;
    const left = source.value !== charts && source.value !== undefined;
    if (left || showing !== charts) return clearInterval(timer);
    if (!charts.any) return;
    const to = charts.reach().to;
    const entered = source.value === charts;
    if (entered && (playing.value || (at !== undefined && at !== followed))) return clearInterval(timer);
    followed = to;
    enter(charts, to);
    if (shown.value && over(shown.value)) clearInterval(timer);
  }, 200);
}

let followed = NaN;

/** What a form asks for, undefined if a time is none. */
function wished(form: HTMLFormElement): Wish | undefined {
  const data = new FormData(form);
  const text = (name: string): string => String(data.get(name) ?? '');
  const [from, to] = [typed(text('from')), typed(text('to'))];
  if (from === undefined || to === undefined) return undefined;
  const at = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+/, '');
  return { name: text('name'), from: at(from), to: at(to), mode: text('mode') === 'none' ? 'none' : 'shadow', rate: Number(text('rate')) || 0 };
}

function Form({ close }: { close: () => void }) {
  const asked = useSignal(false);
  const first = useRef(offered()).current;
  const name = useRef(replayName(Date.now())).current;
  const submit = (e: Event): void => {
    e.preventDefault();
    const wish = wished(e.currentTarget as HTMLFormElement);
    if (!wish || asked.value) return;
    asked.value = true;
    void start(wish).then((s) => {
      asked.value = false;
      if (s) watch(s);
    });
  };
  return (
    <form class="wish" onSubmit={submit}>
      <p>{t('replayText')}</p>
      <label>
        {t('from')}
        <input type="datetime-local" name="from" step="1" required defaultValue={field(first.from)} />
      </label>
      <label>
        {t('to')}
        <input type="datetime-local" name="to" step="1" required defaultValue={field(first.to)} />
      </label>
      <label>
        {t('mode')}
        <select name="mode">
          <option value="shadow">{t('shadow')}</option>
          <option value="none">{t('none')}</option>
        </select>
      </label>
      <label>
        {t('name')}
        <input name="name" required pattern="[a-z][a-z0-9_]{0,19}" title={t('nameHint')} defaultValue={name} />
      </label>
      <label title={t('rateHint')}>
        {t('rate')}
        <input type="number" name="rate" min="0" step="1" defaultValue="0" />
      </label>
      <div class="acts">
        <button type="submit" class="main" aria-disabled={asked.value}>
          {t('start')}
        </button>
        <button type="button" onClick={close}>
          {t('cancel')}
        </button>
      </div>
    </form>
  );
}

function Progress({ s }: { s: Status }) {
  const sure = useSignal(false);
  return (
    <>
      <p>
        <strong>{s.name}</strong> <span class={`state ${s.state}`}>{t(s.state)}</span>{' '}
        {t('progress', { read: count(s.read), events: count(s.events) })}
        {s.waiting > 0 && `, ${t('waiting', { n: count(s.waiting) })}`}
      </p>
      <progress aria-label={s.name} max={Math.max(s.events, 1)} value={over(s) && s.state === 'done' ? Math.max(s.events, 1) : s.read} />
      {s.error && <p role="alert">{s.error}</p>}
      {s.held?.map((h) => <p key={h}>{h}</p>)}
      {!over(s) && (
        <div class="acts">
          <button type="button" onClick={() => void want(s.name, s.state === 'paused' ? 'resume' : 'pause')}>
            {t(s.state === 'paused' ? 'resume' : 'pause')}
          </button>
          <button type="button" onBlur={() => (sure.value = false)} onClick={() => (sure.value ? void want(s.name, 'stop') : (sure.value = true))}>
            {t(sure.value ? 'stopSure' : 'stop')}
          </button>
        </div>
      )}
    </>
  );
}

function same(c: Comparison): boolean {
  return !c.only_here && !c.only_there && !c.different;
}

/** Whether all that differs may lie at the stretch's edges. */
function edges(c: Comparison): boolean {
  return !!c.only_there && !c.only_here && !c.different;
}

/** What became of each sink. */
function Results({ s }: { s: Status }) {
  if (!s.results?.length) return null;
  const cells = (c: Comparison | undefined): (number | undefined)[] => [c?.rows_here, c?.rows_there, c?.only_here, c?.only_there, c?.different];
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={t('result')}>
      <table class="results">
        <caption>
          {t('result')}
          {!!s.dead_letters && `, ${t('letters', { n: count(s.dead_letters) })}`}
        </caption>
        <thead>
          <tr>
            {(['sink', 'events', 'here', 'there', 'onlyHere', 'onlyThere', 'different'] as const).map((k) => (
              <th key={k} scope="col">
                {t(k)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {s.results.map((r) => (
            <tr key={r.sink}>
              <th scope="row">{r.sink}</th>
              <td>{count(r.events)}</td>
              {cells(r.comparison).map((n, i) => (
                <td key={i}>{n === undefined ? '–' : count(n)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {s.results.every((r) => r.comparison && same(r.comparison)) && <p class="good">✓ {t('same')}</p>}
      {s.results.some((r) => r.comparison && edges(r.comparison)) && <p>{t('edges')}</p>}
      {s.results.flatMap((r) =>
        (r.comparison?.columns ?? [])
          .filter((c) => c.different)
          .map((c) => (
            <p key={`${r.sink} ${c.name}`}>
              {r.sink}.{c.name}: {t('different')} {count(c.different)}
            </p>
          )),
      )}
    </div>
  );
}

/** The replays that there are, to look at one. */
function Known() {
  if (!replays.value.length) return null;
  return (
    <details class="known">
      <summary>
        {t('known')} ({replays.value.length})
      </summary>
      <ul>
        {replays.value.toReversed().map((s) => (
          <li key={s.name}>
            <button type="button" onClick={() => watch(s)}>
              {t('show')} {s.name}
            </button>{' '}
            {t(s.state)}, {s.mode}, {stamp(Date.parse(s.begun)).slice(0, 19)}
          </li>
        ))}
      </ul>
    </details>
  );
}

/** A replay of what is shown: asked for, or under way. */
export function Rerun({ close }: { close: () => void }) {
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    void list();
  }, []);
  const s = shown.value;
  useEffect(() => box.current?.querySelector<HTMLElement>('input, button')?.focus(), [s?.name]);
  const leave = (): void => {
    shown.value = undefined;
    refusal.value = undefined;
    if (source.value && !source.value.live) back();
    close();
  };
  return (
    <section ref={box} class="rerun" aria-label={t('replayTitle')} onKeyDown={(e) => e.key === 'Escape' && leave()}>
      <h3>{t('replayTitle')}</h3>
      {refusal.value && <p role="alert">{refusal.value}</p>}
      {!s && <Form close={leave} />}
      {!s && <Known />}
      {s && <Progress s={s} />}
      {s && s.mode === 'none' && !over(s) && <p>{t('noCharts')}</p>}
      {s && s.mode === 'shadow' && over(s) && source.value?.live !== false && <p>{t('overCharts')}</p>}
      {s && <Results s={s} />}
      {s && (
        <div class="acts">
          <button type="button" onClick={leave}>
            {t('close')}
          </button>
        </div>
      )}
    </section>
  );
}
