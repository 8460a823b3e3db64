// Scenarios of the graph: a drawing and its tables, details, taps, before and after.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { PAGE_URL, SCREENSHOTS, control, open, problems, until, violations } from './browser.mjs';

const evil = '<img src=x onerror=alert(1)>';
const graph = {
  pipeline: 'charts',
  nodes: [
    ...['plant1', 'plant2', 'plant3', 'plant4'].map((id) => ({ id, kind: 'source', type: 'amqp' })),
    { id: 'readings', kind: 'transform', type: 'json', stage: 'readings' },
    { id: 'rows_of_csv', kind: 'transform', type: 'csv', stage: 'readings' },
    { id: 'topics', kind: 'transform', type: 'json', stage: 'readings' },
    { id: 'celsius', kind: 'plugin', type: 'scale@^1', stage: 'readings' },
    { id: 'rows', kind: 'sink', type: 'sql' },
    { id: 'live', kind: 'sink', type: 'chart' },
    { id: evil, kind: 'sink', type: evil },
  ],
  edges: [
    ['plant1', 'readings', 'journal'], ['plant4', 'readings', 'journal'], ['plant2', 'rows_of_csv', 'journal'], ['plant3', 'topics', 'journal'],
    ['readings', 'celsius'], ['rows_of_csv', 'celsius'], ['topics', 'celsius'],
    ['celsius', 'rows', 'celsius'], ['celsius', 'live', 'celsius'], ['celsius', evil, 'celsius'],
  ].map(([from, to, stream]) => ({ from, to, stream })),
};
const node = (id, n, more) => ({ id, kind: 'x', type: 'x', in: n, out: n, rejected: 0, retries: 0, dead_letters: 0, ...more });
const lag = (reader, stream, ...lanes) => ({ reader: `${reader}@live`, stream, lanes: lanes.map(([events, seconds], lane) => ({ lane, events, seconds })) });
const stats = (seconds, more) => ({
  time: '2026-03-01T12:00:00Z', pipeline: 'charts', generation: 'live', version: 'test', started: '2026-03-01T11:00:00Z', uptime_seconds: seconds,
  ready: true, reasons: [], holds: [],
  nodes: [
    node('plant1', seconds * 100), node('plant2', seconds * 10), node('plant3', seconds), node('plant4', 0),
    node('readings', seconds * 100), node('rows_of_csv', seconds * 10), node('topics', seconds),
    node('celsius', seconds * 111, { rejected: 3, retries: 2, dead_letters: 5, plugin: { runs: 'scale@1.2.0#0a1b2c3d', restarts: 1 } }),
    node('rows', seconds * 111), { id: 'live', kind: 'chart', type: 'chart' },
  ],
  readers: [lag('readings', 'journal', [0, 0], [1, 0.2]), lag('rows', 'celsius', [1200, 12], [4, 1]), lag(evil, 'celsius', [0, 0])],
  log: { bytes: 1, max_bytes: 100 },
  ...more,
});
const event = (n, more) => ({
  stream: 'celsius', lane: 0, position: `1.${1772366400000 + n}-${n}`, index: 0, appended: new Date(1772366400000 + n).toISOString(), id: `id${n}`,
  root_id: `m${n}`, key: 'press-1', source: { node: 'plant1' }, root: `1.${1772366390000}-${n}`, record: { device: 'press-1', value: 30 + n, unit: 'C', text: evil }, ...more,
});
const sample = (events, passed = 100, read = 32) => ({ node: 'celsius', view: 'what celsius hands on: stream celsius', passed, read, seen: events.length, events });
const message = (n, value) => event(n, { stream: 'journal', record: undefined, key: '', payload: JSON.stringify({ device: 'press-1', value, unit: 'F', shift: 2 }) });

const tell = (name, data) => control(`/tell?event=${name}`, data);
const lines = (...list) => list.map((v) => JSON.stringify(v)).join('\n');

let page;
const key = (k) => page.locator(`svg [data-key="${k.replaceAll('"', '\\"')}"]`);
const panel = () => page.locator('.g-panel');
const button = (name, where = page) => where.getByRole('button', { name, exact: true });
// Answers for the API of taps: a status and a body, by the node asked for.
let taps;
const asked = [];

async function shoot(p, name) {
  if (SCREENSHOTS) await p.screenshot({ path: join(SCREENSHOTS, `graph-${name}.png`) });
}

async function answering(p) {
  await p.route('**/api/v1/tap/**', (route) => {
    const url = new URL(route.request().url());
    asked.push(url);
    const [status, body] = taps[decodeURIComponent(url.pathname.split('/').pop())] ?? [200, ''];
    return route.fulfill({ status, body: route.request().method() === 'HEAD' ? '' : body, contentType: 'application/x-ndjson' });
  });
}

before(async () => {
  taps = {};
  page = await open('graph');
  await answering(page);
  await page.locator('.chip[data-state=live]').waitFor();
  await page.getByRole('link', { name: 'Graph' }).click();
});
after(async () => {
  await page.context().close();
});
afterEach(() => {
  assert.deepEqual(problems.splice(0), []);
});

test('without a graph the view says so', async () => {
  await page.getByText('has not told its graph yet').waitFor();
  assert.deepEqual(await violations(page), []);
});

test('nodes are drawn with their figures, grouped by stage', async () => {
  await tell('graph', graph);
  await key('n:celsius').waitFor();
  assert.equal(await page.locator('.g-node').count(), graph.nodes.length);
  assert.equal(await page.locator('.g-edge').count(), graph.edges.length);
  assert.equal(await page.locator('.g-stage').count(), 1);
  assert.equal(await key('n:celsius').getAttribute('data-pressure'), 'unknown');
  await tell('stats', stats(100));
  await until('counted', async () => (await key('n:celsius').getAttribute('data-pressure')) === 'ok' || 'no');
  await tell('stats', stats(102));
  await until('rates', async () => /111\/s/.test(await key('n:celsius').textContent()) || key('n:celsius').textContent());
  const text = await key('n:celsius').textContent();
  for (const part of ['scale@1.2.0#0a1b2c', 'errors 3', 'retries 2', 'dead 5']) assert.ok(text.includes(part), `${text} lacks ${part}`);
  assert.ok((await key(`n:${evil}`).textContent()).includes('<img src=x'));
  assert.equal(await page.locator('img').count(), 0);
});

test('back-pressure is told by text and pattern, not by colour alone', async () => {
  assert.equal(await key('e:celsius>rows').getAttribute('data-pressure'), 'waiting');
  await tell('stats', stats(104, {
    holds: [{ stage: evil, stream: 'celsius', lane: 0, reason: `disk is full ${evil}` }], log: { bytes: 100, max_bytes: 100 },
  }));
  await until('held', async () => (await key(`e:celsius>${evil}`).getAttribute('data-pressure')) === 'held' || 'no');
  const shown = (k) => key(k).evaluate((g) => [g.textContent, getComputedStyle(g.querySelector('.line')).strokeDasharray]);
  const [ok, waits, held, full] = await Promise.all(['e:celsius>live', 'e:celsius>rows', `e:celsius>${evil}`, 'e:plant1>readings'].map(shown));
  assert.match(waits[0], /waiting/);
  assert.match(held[0], /held/);
  assert.match(full[0], /full/);
  assert.equal(new Set([ok[1], waits[1], held[1], full[1]]).size, 4);
  assert.equal(await page.locator('.g-legend .state').count(), 4);
  await shoot(page, 'pressure');
  assert.deepEqual(await violations(page), []);
});

test('the table says the same, is sorted and filtered, and shares the selection', async () => {
  await key('n:celsius').click();
  await panel().waitFor();
  await button('Table').click();
  const nodes = page.getByRole('table', { name: 'Nodes' });
  assert.equal(await nodes.locator('tbody tr').count(), graph.nodes.length);
  assert.equal(await nodes.locator('tr.chosen th').textContent(), 'celsius');
  assert.match(await nodes.locator('tr.chosen').textContent(), /scale@1.2.0#0a1b2c3d/);
  await nodes.getByRole('button', { name: 'Out/s' }).click();
  assert.equal(await nodes.locator('tbody th').first().textContent(), 'celsius');
  assert.equal(await nodes.locator('th[aria-sort=descending]').count(), 1);
  const edges = page.getByRole('table', { name: 'Connections' });
  assert.match(await edges.locator('tr', { hasText: 'celsius → rows' }).textContent(), /celsius.*waiting.*1\u202f204.*12 s/);
  await page.getByLabel('Find nodes and streams').fill('rows');
  await until('filtered', async () => (await nodes.locator('tbody tr').count()) === 2 || 'no');
  await page.getByLabel('Find nodes and streams').fill('nothing like this');
  await page.getByText('Nothing matches').waitFor();
  await page.getByLabel('Find nodes and streams').fill('');
  assert.deepEqual(await violations(page), []);
  await shoot(page, 'table');
  await edges.getByRole('button', { name: `celsius → ${evil}` }).click();
  await panel().getByText('disk is full').waitFor();
  await button('Graph').click();
  await until('the same is selected', async () => (await key(`e:celsius>${evil}`).getAttribute('aria-pressed')) === 'true' || 'no');
  assert.match(page.url(), /#graph\?sel=/);
  await button('Close', panel()).click();
});

test('a tap shows samples with their ratio, is frozen, opened, cleared', async () => {
  await key('n:celsius').click();
  await panel().getByText('scale@1.2.0#0a1b2c3d').waitFor();
  await button('Watch events', panel()).click();
  await panel().getByText('Waiting for events').waitFor();
  await tell('tap', sample([event(1), event(2)]));
  await panel().getByText('Looked into 32 of 100 frames (32 %).').waitFor();
  const list = panel().getByRole('list', { name: 'Live' });
  assert.equal(await list.locator('li').count(), 2);
  await list.locator('summary').first().click();
  await until('opened', async () => (await list.locator('pre').textContent()).includes('"value": 32') || 'no');
  assert.ok((await list.locator('pre').textContent()).includes(evil));
  assert.equal(await page.locator('img').count(), 0);
  await tell('tap', sample([event(3)]));
  await panel().getByText('1 not shown while frozen').waitFor();
  assert.equal(await list.locator('li').count(), 2);
  await button('Go on', panel()).click();
  await tell('tap', sample([event(4)]));
  await until('goes on', async () => (await list.locator('li').count()) === 3 || 'no');
  assert.deepEqual(await violations(page), []);
  await shoot(page, 'tap');
  await button('Clear', panel()).click();
  await until('cleared', async () => (await list.count()) === 0 || 'no');
  await button('Stop', panel()).click();
});

test('a past range is asked for, and mistakes are told', async () => {
  await button('Past', panel()).click();
  taps.celsius = [400, JSON.stringify({ error: `where: column 7: unexpected ${evil}\nfrom: "noon" is no time` })];
  await panel().getByLabel('From').fill('noon');
  await panel().getByLabel('Where').fill('value >');
  await button('Show', panel()).click();
  await panel().getByRole('alert').waitFor();
  assert.equal(await panel().getByRole('alert').locator('li').count(), 2);
  assert.deepEqual(await violations(page), []);
  taps.celsius = [200, lines(event(1), event(2), { notice: '3 entries of celsius/0 were trimmed' }, { error: 'redis is away' })];
  await panel().getByLabel('From').fill('5m');
  await button('Show', panel()).click();
  await panel().getByText('2 events').waitFor();
  assert.equal(await panel().getByRole('alert').count(), 0);
  await panel().getByText('3 entries of celsius/0 were trimmed').waitFor();
  await panel().getByText('It ended early: redis is away').waitFor();
  assert.deepEqual(Object.fromEntries(asked.at(-1).searchParams), { from: '5m', to: '0s', limit: '200', where: 'value >' });
});

test('before and after: what a node made of an event, field by field', async () => {
  taps.plant1 = [200, lines(message(1, 86), message(2, 90))];
  asked.length = 0;
  await panel().getByRole('list', { name: 'Past' }).locator('summary').first().click();
  await button('Before/after', panel()).click();
  const rows = panel().locator('.g-diff tbody tr');
  await until('compared', async () => (await rows.count()) > 0 || 'no');
  const cells = await rows.evaluateAll((list) => list.map((r) => [...r.cells].map((c) => c.textContent)));
  const row = (field) => cells.find((c) => c[0] === field);
  assert.deepEqual(row('value'), ['value', '~ changed', '86', '31']);
  assert.deepEqual(row('shift'), ['shift', '− removed', '2', '']);
  assert.deepEqual(row('text'), ['text', '+ added', '', JSON.stringify(evil)]);
  assert.equal(row('device'), undefined);
  await panel().getByText('Between the two lies also: readings.').waitFor();
  assert.equal(asked.find((u) => u.pathname.endsWith('plant1')).searchParams.get('where'), 'root_id == "m1"');
  await panel().getByLabel(/Also what is the same/).check();
  await until('the same too', async () => (await rows.count()) === cells.length + 1 || rows.count());
  assert.deepEqual(await violations(page), []);
  await shoot(page, 'compare');
  await button('Close', panel()).click();
});

test('who may not tap is told what is needed, and the page goes on', async () => {
  taps.celsius = [403, '{"error":"this token does not allow to tap"}'];
  await key('n:celsius').click();
  await button('Watch events', panel()).click();
  await panel().getByText('token with the scope tap').waitFor();
  await button('Past', panel()).click();
  await button('Show', panel()).click();
  await panel().getByText('token with the scope tap').waitFor();
  assert.equal(await page.locator('.chip').getAttribute('data-state'), 'live');
  assert.deepEqual(await violations(page), []);
  taps.celsius = [200, ''];
  await button('Close', panel()).click();
});

test('a node that is gone when the engine comes back ends its tap, not the page', async () => {
  await key('n:rows').click();
  await button('Watch events', panel()).click();
  await button('Freeze', panel()).waitFor();
  taps.rows = [404, ''];
  await control('/stop');
  await panel().getByText('has no node “rows” any more').waitFor();
  await control('/start');
  await page.locator('.chip[data-state=live]').waitFor();
  await button('Close', panel()).click();
});

test('while the engine is away the last state stays and is told', async () => {
  await control('/stop');
  await page.getByText('The engine is away. Figures as of 12:00:00.').waitFor();
  assert.equal(await page.locator('.g-node').count(), graph.nodes.length);
  assert.match(await key('n:celsius').textContent(), /errors 3/);
  assert.deepEqual(await violations(page), []);
  await shoot(page, 'away');
  await control('/start');
  await page.locator('.chip[data-state=live]').waitFor();
  await until('told no more', async () => (await page.getByText('The engine is away').count()) === 0 || 'no');
});

test('keys alone reach everything', async () => {
  const focused = () => page.evaluate(() => document.activeElement?.getAttribute('data-key') ?? '');
  await page.getByLabel('Find nodes and streams').focus();
  await page.keyboard.press('Tab');
  await until('in the graph', async () => (await focused()) !== '' || 'no');
  const seen = new Set();
  for (let i = 0; i < 12 && (await focused()) !== 'n:celsius'; i++) {
    seen.add(await focused());
    await page.keyboard.press('ArrowRight');
  }
  assert.equal(await focused(), 'n:celsius', [...seen].join(' '));
  const scale = () => page.locator('.g-canvas > svg > g').getAttribute('transform');
  const [all, at] = [await scale(), await focused()];
  await page.keyboard.press('+');
  await until('larger', async () => (await scale()) !== all || all);
  await page.keyboard.press('Shift+ArrowLeft');
  await page.keyboard.press('0');
  await until('all again', async () => (await scale()) === all || scale());
  assert.equal(await focused(), at);
  await page.keyboard.press('Enter');
  await until('the panel has the focus', async () => (await page.evaluate(() => document.activeElement?.tagName)) === 'H2' || 'no');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await until('at the choice', async () => (await page.evaluate(() => document.activeElement?.textContent)) === 'Live' || 'no');
  await page.keyboard.press('Escape');
  await until('back in the graph', async () => (await focused()) === at || focused());
});

test('the mouse moves and scales the picture, and a drag selects nothing', async () => {
  const scale = () => page.locator('.g-canvas > svg > g').getAttribute('transform');
  const box = await page.locator('.g-canvas').boundingBox();
  const was = await scale();
  await page.mouse.move(box.x + 300, box.y + 60);
  await page.mouse.wheel(0, -300);
  await until('scaled', async () => (await scale()) !== was || was);
  const b = await key('n:celsius').boundingBox();
  const before = await scale();
  await page.mouse.move(b.x + 20, b.y + 20);
  await page.mouse.down();
  await page.mouse.move(b.x + 60, b.y + 50, { steps: 4 });
  await page.mouse.up();
  assert.notEqual(await scale(), before);
  assert.equal(await panel().count(), 0);
  await button('Show all').click();
  await until('all', async () => (await scale()) === was || scale());
});

test('in Korean, dark and on a phone', async () => {
  const phone = await open('graph-phone', { viewport: { width: 360, height: 740 }, colorScheme: 'dark', locale: 'ko-KR', hasTouch: true });
  await answering(phone);
  await phone.goto(`${PAGE_URL}/#graph?sel=n%3Acelsius`);
  await phone.locator('.g-node').first().waitFor();
  await phone.locator('.g-panel').getByText('배달 못 한 메시지').waitFor();
  await phone.locator('.g-legend').getByText('대기').waitFor();
  const wide = () => phone.evaluate(() => document.documentElement.scrollWidth);
  assert.equal(await wide(), 360);
  assert.deepEqual(await violations(phone), []);
  const small = await phone.locator('.g-node').evaluateAll((list) => list.filter((n) => n.getBoundingClientRect().width < 100).length);
  await phone.evaluate(() => scrollTo(0, 0));
  await shoot(phone, 'phone');
  assert.equal(small, 0, 'nodes are as large as a thumb');
  await phone.getByRole('button', { name: '표', exact: true }).click();
  await phone.getByRole('table', { name: '노드' }).waitFor();
  assert.equal(await wide(), 360);
  assert.deepEqual(await violations(phone), []);
  await shoot(phone, 'phone-table');
  await phone.setViewportSize({ width: 1280, height: 800 });
  await phone.getByRole('button', { name: '그래프', exact: true }).click();
  await phone.locator('.g-node').first().waitFor();
  assert.deepEqual(await violations(phone), []);
  await shoot(phone, 'dark');
  await phone.context().close();
});
