// Scenarios of how the page looks, compared with golden files: where its boxes are at three
// widths, and what its charts draw in three themes. `-update` writes the files anew.
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { control, CONTROL_URL, feed, open, problems, reading, until } from './browser.mjs';
import { boxes } from './fonts/boxes.mjs';

const minute = 60_000;
const right = Math.floor((Date.now() - 2000) / minute) * minute; // of all charts: a whole minute, as grid lines are at such
const at = (before, metric, device, value, unit) => ({ ...reading(metric, device, value, 0, unit), At: right - before * 1000 });

let page;
const card = (metric) => page.locator(`.card[data-chart="live/${metric}"]`);
const button = (name) => page.getByRole('button', { name, exact: true });
const go = (hash) => page.evaluate((h) => (location.hash = h), hash);
const frames = () => page.evaluate(async () => {
  for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame);
});

// Text of a canvas is not drawn, and as wide everywhere.
function withoutLetters() {
  const canvas = CanvasRenderingContext2D.prototype;
  canvas.fillText = canvas.strokeText = () => {};
  canvas.measureText = (text) => ({ width: 6 * text.length });
}

// The first two seconds of the minute that is shown are empty, and so are the last.
function readings() {
  const points = [at(58, 'mode', 'press-1', 0), at(40, 'mode', 'press-1', 1), at(15, 'mode', 'press-1', 2), at(58, 'mode', 'press-2', 1)];
  for (let i = 0; i < 56; i++) {
    const before = 58 - i;
    points.push(at(before, 'stair', 'valve', i % 20 < 10 ? 10 : 20), at(before, 'kwh', 'meter', 5 + (i % 10), 'kWh'));
    points.push(at(before, 'tank', 'level', 20 + ((i * 7) % 30), '%'), at(before, 'tank', 'reserve', 60 - i / 2, '%'));
    points.push(at(before, 'oven', 'zone-1', 15 + i * 1.4), at(before, 'oven', 'zone-2', 55 + (i % 7)));
    points.push(at(before, 'rows', 'pump-1', i, 'bar'), at(before, 'gauge', 'core', 38 + i), at(before, 'gauge', 'shell', 50));
  }
  return points;
}

const letters = [
  { Node: 'rows', Code: '22001', Text: 'value too long for column "name"', Key: 'press-07', Payload: '{"device":"press-07"}', Source: true, Ago: 50_000 },
  { Node: 'decode', Code: 'json', Text: 'unexpected end of JSON', Key: 'pump-1', Payload: '{"device":', Ago: 30_000 },
];
const graph = {
  pipeline: 'charts',
  nodes: [
    { id: 'plant1', kind: 'source', type: 'amqp' }, { id: 'plant2', kind: 'source', type: 'amqp' },
    { id: 'readings', kind: 'transform', type: 'json', stage: 'readings' }, { id: 'celsius', kind: 'plugin', type: 'scale@^1', stage: 'readings' },
    { id: 'rows', kind: 'sink', type: 'sql' }, { id: 'live', kind: 'sink', type: 'chart' },
  ],
  edges: [
    { from: 'plant1', to: 'readings', stream: 'journal' }, { from: 'plant2', to: 'readings', stream: 'journal' }, { from: 'readings', to: 'celsius' },
    { from: 'celsius', to: 'rows', stream: 'celsius' }, { from: 'celsius', to: 'live', stream: 'celsius' },
  ],
};

// Lets all charts show the minute that ends at right, until their view is left.
async function hold() {
  await page.getByLabel('Time shown').selectOption(String(minute));
  await button('Events').click();
  await page.locator('.events li', { hasText: 'middle' }).getByRole('button').click();
  await button('Events').click();
  await page.getByText('behind now').waitFor();
}

before(async () => {
  page = await open('golden', { bypassCSP: true, reducedMotion: 'reduce', viewport: { width: 820, height: 2400 } });
  await page.evaluate(withoutLetters);
  await page.addStyleTag({ content: `${boxes} .rate { display: none; }` }); // it changes all the time
  await control('/tell?event=graph', graph);
  await control('/tell?event=mark', { id: 'm', time: right - minute / 2, kind: 'start', text: 'middle' });
  await control('/letters/store', letters);
  await feed(...readings());
  await card('gauge').getByText('shell').waitFor();
  await hold();
});
after(async () => {
  await page.context().close();
});
afterEach(() => {
  assert.deepEqual(problems.splice(0), []);
});

// What a view is made of. Columns of numbers are left out: they are as wide as the ages in them.
const landmarks = [
  'header.bar', 'header.bar > :not(.skip)', 'nav a', '.notice', '.time-controls', '.timeline', '.card', '.card > header', '.plot', 'thead', ':not(.numbers) > table > thead th', '.tiles', '.tile',
  '.g-tools > *', '.g-canvas', '.g-zoom', '.g-node', '.g-table', '.g-legend', '.reasons', '.reason', '.filters label', '.selecting', '.list', '.detail', '.side',
  'dialog', 'dialog h2', 'dialog fieldset', 'dialog dl', 'dialog .done',
].join();

// A line for each box: the page's width, what it is, where it is, px.
const placed = (width) => page.evaluate(([width, landmarks]) => {
  const nameOf = (e) => {
    const [kind] = e.classList;
    const key = e.dataset.chart ?? e.dataset.key;
    return `${e.localName}${kind ? `.${kind}` : ''}${key ? `[${key}]` : ''}`;
  };
  const dialog = document.querySelector('dialog') ?? document; // what is behind it was there before
  const seen = [...document.querySelectorAll(landmarks)].filter((e) => dialog.contains(e) && e.checkVisibility());
  return seen.map((e) => {
    const b = e.getBoundingClientRect();
    return [width, nameOf(e), ...[b.x + scrollX, b.y + scrollY, b.width, b.height].map(Math.round)].join(' ');
  });
}, [width, landmarks]);

// What a view is like at three widths, and that it is nowhere wider than the page.
async function geometry() {
  const lines = [];
  for (const width of [360, 820, 1440]) {
    await page.setViewportSize({ width, height: 900 });
    await frames();
    lines.push(...(await placed(width)));
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, `too wide at ${width}`);
  }
  return lines.join('\n') + '\n';
}

// Asks the control address about what is seen: whether it is "golden", or "differs".
async function ask(how, name, body) {
  const answer = await fetch(`${CONTROL_URL}/${how}/${name}`, { method: 'POST', body });
  return answer.ok || answer.text();
}
const laidOut = (view, how = 'golden') => until(view, async () => ask(how, `${view}.txt`, await geometry()));
const drawn = (metric, theme, how = 'golden') =>
  until(`${metric} in ${theme}`, async () => ask(how, `${metric}-${theme}.png`, await card(metric).locator('.plot').screenshot()));

async function dress(theme) {
  await go(`charts?theme=${theme}`);
  const [scheme, contrast] = [theme === 'dark' ? 'dark' : 'light', theme === 'contrast' ? 'more' : ''];
  await page.locator(`:root[data-scheme="${scheme}"][data-contrast="${contrast}"]`).waitFor({ state: 'attached' });
  await frames();
}

for (const theme of ['dark', 'contrast', 'light']) {
  test(`charts are drawn as ever, theme ${theme}`, async () => {
    await dress(theme);
    for (const metric of ['oven', 'stair', 'tank', 'kwh', 'mode']) await drawn(metric, theme);
  });
}

test('a line of another shape is noticed', async () => {
  await feed(at(35.5, 'oven', 'zone-2', 85));
  await drawn('oven', 'light', 'differs');
});

test('a line of another colour is noticed', async () => {
  await drawn('stair', 'light');
  await page.evaluate(() => {
    const canvas = CanvasRenderingContext2D.prototype;
    const { get, set } = Object.getOwnPropertyDescriptor(canvas, 'strokeStyle');
    const other = (color) => (color === '#0072b2' ? '#d55e00' : color);
    Object.defineProperty(canvas, 'strokeStyle', { get, set(color) { set.call(this, other(color)); } });
  });
  await dress('dark');
  await dress('light'); // all is drawn anew
  await drawn('stair', 'light', 'differs');
  await drawn('kwh', 'light'); // it has no lines
});

test('charts are laid out as ever', async () => {
  await laidOut('charts');
});

test('a card of another width is noticed', async () => {
  const style = await page.addStyleTag({ content: '.card { margin-right: 8px; }' });
  await laidOut('charts', 'differs');
  await style.evaluate((s) => s.remove());
  await laidOut('charts');
});

test('the graph is laid out as ever, drawn and as tables', async () => {
  await go('graph');
  await page.locator('.g-node').first().waitFor();
  await laidOut('graph');
  await button('Table').click();
  await page.getByRole('table', { name: 'Nodes' }).waitFor();
  await laidOut('graph-table');
});

test('dead letters are laid out as ever, the list and one of them', async () => {
  await go('letters');
  await page.locator('.list tbody tr').nth(1).waitFor();
  await laidOut('letters');
  await page.locator('.list tbody tr', { hasText: 'column "name"' }).getByRole('link').click();
  await page.locator('.detail').getByText('press-07').first().waitFor();
  await laidOut('letter');
});

test('dialogs are laid out as ever', async () => {
  await go('charts');
  await card('oven').waitFor();
  for (const name of ['Keys', 'Settings']) {
    await button(name).click();
    await page.getByRole('dialog').waitFor();
    await laidOut(`dialog-${name.toLowerCase()}`);
    await button('Done').click();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
});
