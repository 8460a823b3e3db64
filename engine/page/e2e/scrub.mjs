// Scenarios of the timeline: the past in the same charts, and replays through the pipeline.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { SCREENSHOTS, control, feed, open, problems, reading, until, violations } from './browser.mjs';

let page;
const minute = 60_000;
const begun = Date.now();

const card = (metric) => page.locator(`.card[data-chart="live/${metric}"]`);
const lastOf = (metric, device) =>
  card(metric).locator('.legend tbody tr', { has: page.getByText(device, { exact: true }) }).locator('td.last');
const last = async (metric, device) => Number(await lastOf(metric, device).textContent());
const track = () => page.getByRole('slider', { name: 'Timeline' });
const banner = () => page.getByRole('region', { name: 'What the charts show' });
const timeOf = async () => Number(await track().getAttribute('aria-valuenow')) * 1000;
const live = () => until('live again', async () => (await banner().count()) === 0 || 'banner');
const shot = (name) => SCREENSHOTS && page.screenshot({ path: join(SCREENSHOTS, `scrub-${name}.png`) });

// The value of the ramp at a time: one more each 10 s.
const ramp = (ms) => Math.floor((ms - begun + 50 * minute) / 10_000);

before(async () => {
  const points = [];
  for (let ago = 50 * minute; ago >= 0; ago -= 10_000) {
    points.push({ ...reading('ramp', 'pump-7', ramp(begun - ago), ago), Stored: true });
    points.push({ ...reading('wave', 'm', 20 + 5 * Math.sin(ago / 90_000), ago), Stored: true });
  }
  await feed(...points);
  page = await open('scrub');
});
after(async () => {
  await page.context().close();
});
afterEach(() => {
  assert.deepEqual(problems.splice(0), []);
});

test('the timeline shows how far back the log reaches', async () => {
  await track().waitFor();
  await until('reach', async () => {
    const from = Number(await track().getAttribute('aria-valuemin')) * 1000;
    return Math.abs(from - (begun - 50 * minute)) < minute || new Date(from);
  });
  assert.equal(await banner().count(), 0);
  assert.equal(await track().getAttribute('aria-valuetext'), 'Live');
  await shot('live');
});

test('dragging shows the past in the same charts, and says so', async () => {
  const box = await track().boundingBox();
  await page.mouse.move(box.x + box.width - 4, box.y + 12);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 12, { steps: 6 });
  await page.mouse.up();
  await banner().getByText(/^Past: .*, not live$/).waitFor();
  assert.match(await page.title(), /^Past \d\d:\d\d:\d\d · charts · Millrace$/);
  const at = await timeOf();
  assert.ok(Math.abs(at - (begun - 25 * minute)) < 2 * minute, new Date(at).toISOString());
  await until('values of that time', async () => {
    const v = await last('ramp', 'pump-7');
    return Math.abs(v - ramp(at)) <= 2 || v;
  });
  await shot('past');
});

test('what comes meanwhile is kept, and back to live shows it', async () => {
  await feed(reading('ramp', 'pump-7', 777));
  const before = await last('ramp', 'pump-7');
  assert.notEqual(before, 777);
  await banner().getByRole('button', { name: 'Back to live' }).click();
  await live();
  await until('newest', async () => (await last('ramp', 'pump-7')) === 777 || 'no');
  assert.equal(await page.title(), 'charts · Millrace');
});

test('with the keyboard alone: step, play, jump, and back', async () => {
  await track().focus();
  await page.keyboard.press('ArrowLeft');
  await banner().waitFor();
  const first = await timeOf();
  await page.keyboard.press('ArrowLeft');
  await until('a step back', async () => (await timeOf()) === first - 10_000 || (await timeOf()) - first);
  await page.keyboard.press('Shift+ArrowLeft');
  await until('ten steps back', async () => (await timeOf()) === first - 110_000 || (await timeOf()) - first);
  await page.keyboard.press('Home');
  await until('the beginning', async () => Math.abs((await timeOf()) - (begun - 50 * minute)) < 10_000 || new Date(await timeOf()));
  await page.keyboard.press('Space');
  await page.getByRole('button', { name: 'Pause', exact: true }).waitFor();
  const at = await timeOf();
  await until('it plays', async () => (await timeOf()) > at + 1000 || 'no');
  await page.keyboard.press('Space');
  await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
  await page.keyboard.press('End');
  await live();
});

test('it plays at its speed until it has caught up with now', async () => {
  await page.getByLabel('Speed', { exact: true }).selectOption('100');
  await track().focus();
  for (let i = 0; i < 3; i++) await page.keyboard.press('Shift+ArrowLeft');
  await banner().waitFor();
  const at = await timeOf();
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await until('a minute passes', async () => (await timeOf()) > at + minute || 'no');
  await live();
  await page.getByLabel('Speed', { exact: true }).selectOption('1');
});

test('a typed time is gone to; one that is not kept is told', async () => {
  const form = page.locator('.goto');
  const at = begun - 30 * minute;
  await form.getByLabel('Go to').fill(new Date(at).toISOString().slice(0, 19));
  await form.getByRole('button', { name: 'Go' }).click();
  await until('that time', async () => Math.abs((await timeOf()) - at) <= 1000 || new Date(await timeOf()));
  await until('values of that time', async () => Math.abs((await last('ramp', 'pump-7')) - ramp(at)) <= 2 || 'no');
  await form.getByLabel('Go to').fill('2020-01-01T00:00:00');
  await form.getByRole('button', { name: 'Go' }).click();
  await page.getByText(/That is no longer kept: charts begin at/).waitFor();
});

test('marks are on the timeline and can be gone to', async () => {
  const time = begun - 20 * minute;
  await control('/tell?event=mark', { id: 'm1', time, kind: 'reload', text: 'reload applied' });
  await page.locator('.track .mark').waitFor({ state: 'attached' });
  await page.getByLabel('Marks').selectOption(String(time));
  await until('its time', async () => Math.abs((await timeOf()) - time) <= 1000 || new Date(await timeOf()));
});

test('while the engine is away the past says so, and comes back', async () => {
  await banner().getByRole('button', { name: 'Back to live' }).click();
  await live();
  await control('/stop');
  await track().focus();
  await page.keyboard.press('Home');
  await banner().getByRole('alert').waitFor();
  await control('/start');
  await banner().getByRole('alert').waitFor({ state: 'detached' });
});

test('no violations of accessibility rules in the past, in light and dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await violations(page), [], colorScheme);
    await shot(`past-${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await banner().getByRole('button', { name: 'Back to live' }).click();
  await live();
});

// The replays of a pretended engine: one, which goes on when it is asked to.
async function pretend() {
  const run = { asked: undefined, state: 'paused', polls: 0, verbs: [] };
  const status = () => ({
    ...run.asked, begun: new Date(begun).toISOString(), state: run.state, events: 400, waiting: 0,
    read: run.state === 'done' ? 400 : Math.min(400, run.polls * 20),
    results: run.state === 'done'
      ? [{ sink: 'rows', events: 400, comparison: { rows_here: 400, rows_there: 400, only_here: 0, only_there: 0, different: 3, columns: [{ name: 'value', different: 3 }] } }]
      : undefined,
  });
  await page.route(/api\/v1\/replays/, async (route) => {
    const url = new URL(route.request().url());
    const verb = /replays\/[^/]+\/(\w+)$/.exec(url.pathname)?.[1];
    if (verb) {
      run.verbs.push(verb);
      run.state = { pause: 'paused', resume: 'running', stop: 'stopped' }[verb];
    } else if (route.request().method() === 'POST') {
      run.asked = route.request().postDataJSON();
    }
    if (run.state === 'running') run.polls++;
    await route.fulfill({ json: url.pathname.endsWith('/replays') && !run.asked ? { replays: [] } : url.pathname.endsWith('/replays') && route.request().method() === 'GET' ? { replays: [status()] } : status() });
  });
  await page.route(/api\/v1\/live\?replay=/, async (route) => {
    if (run.state === 'done' || run.state === 'stopped') return route.fulfill({ status: 204 });
    const at = begun - 40 * minute;
    const t = Array.from({ length: 60 }, (_, i) => at + i * 1000);
    const events = [
      ['hello', { protocol: 1, epoch: '3', time: Date.now(), pipeline: 'charts', version: 'test', embedded: true }],
      ['schema', { charts: [{ id: 'live/ramp', title: 'ramp', group: 'Plant readings', window_ms: 600000, max_points: 6000, series: [{ id: 0, key: 'pump-7', unit: 'C' }] }] }],
      ['frame', { series: [{ id: 0, t, v: t.map((_, i) => 1000 + i) }] }],
    ];
    await route.fulfill({ contentType: 'text/event-stream', body: events.map(([name, data]) => `event: ${name}\nid: ${name === 'frame' ? '3.x' : ''}\ndata: ${JSON.stringify(data)}\n\n`).join('') });
  });
  return run;
}

const panel = () => page.getByRole('region', { name: 'Replay a stretch through the pipeline' });
const openPanel = () => page.getByRole('button', { name: 'Replay through the pipeline…' }).click();

test('a replay shows its progress, its charts under the banner and its comparison', async () => {
  const run = await pretend();
  await openPanel();
  await panel().getByText('The live run, its tables and its charts stay as they are').waitFor();
  await panel().getByLabel('Events a second').fill('50');
  await shot('ask');
  assert.deepEqual(await violations(page), []);
  await panel().getByRole('button', { name: 'Start replay' }).click();
  await banner().getByText(/^Replay r\d+_\d+: .*, not live$/).waitFor();
  assert.equal(run.asked.mode, 'shadow');
  assert.equal(run.asked.rate, 50);
  assert.equal(run.asked.text, undefined);
  assert.ok(run.asked.paused && Date.parse(run.asked.to) > Date.parse(run.asked.from));
  await until('resumed once it is looked at', async () => run.verbs.includes('resume') || run.verbs);
  await until('its values', async () => (await last('ramp', 'pump-7')) === 1059 || 'no');
  await panel().getByRole('button', { name: 'Pause' }).click();
  await panel().getByText('paused', { exact: true }).waitFor();
  await panel().getByRole('button', { name: 'Resume' }).click();
  await panel().getByText('running', { exact: true }).waitFor();
  run.state = 'done';
  await panel().getByText('Comparison with the live tables').waitFor();
  await panel().getByText('rows.value: Different 3').waitFor();
  await shot('replay');
  assert.deepEqual(await violations(page), []);
  await panel().getByRole('button', { name: 'Close' }).click();
  await live();
  await until('live values', async () => (await last('ramp', 'pump-7')) === 777 || 'no');
});

test('stopping asks twice; a refusal says what is needed', async () => {
  const run = await pretend();
  await openPanel();
  await panel().getByLabel('Result').selectOption('none');
  run.state = 'running';
  await panel().getByRole('button', { name: 'Start replay' }).click();
  await panel().getByText('This replay has no charts').waitFor();
  assert.equal(await banner().count(), 0);
  await panel().getByRole('button', { name: 'Stop' }).click();
  assert.deepEqual(run.verbs, []);
  await panel().getByRole('button', { name: 'Stop for good?' }).click();
  await panel().getByText('stopped', { exact: true }).waitFor();
  await panel().getByRole('button', { name: 'Close' }).click();
  await page.unroute(/api\/v1\/replays/);
  await page.route(/api\/v1\/replays/, (route) => route.fulfill({ status: 403, json: { error: 'this token does not allow to operate' } }));
  await openPanel();
  await panel().getByRole('button', { name: 'Start replay' }).click();
  await panel().getByText('Needs the scope operate').waitFor();
  await page.keyboard.press('Escape');
  await panel().waitFor({ state: 'detached' });
  await page.unrouteAll();
});

test('on a Korean phone it fits and speaks Korean', async () => {
  const first = page;
  page = await open('scrub-korean', { locale: 'ko-KR', viewport: { width: 360, height: 740 } });
  const bar = page.getByRole('slider', { name: '타임라인' });
  await bar.focus();
  await page.keyboard.press('Shift+ArrowLeft');
  await page.getByText(/^과거: .*, 실시간 아님$/).waitFor();
  await shot('phone');
  assert.deepEqual(await violations(page), []);
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(await wide(), 0);
  await page.getByRole('button', { name: '파이프라인으로 재처리…' }).click();
  await page.getByRole('button', { name: '재처리 시작' }).waitFor();
  await shot('phone-ask');
  assert.equal(await wide(), 0);
  await page.context().close();
  page = first;
});
