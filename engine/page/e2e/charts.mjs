// Scenarios of the charts, and of the page as a whole.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { SCREENSHOTS, control, feed, open, patience, problems, reading, until, violations } from './browser.mjs';

let page;

const state = (s) => page.locator(`.chip[data-state=${s}]`).waitFor();
const card = (metric) => page.locator(`.card[data-chart="live/${metric}"]`);
const lastOf = (metric, device) =>
  card(metric).locator('.legend tbody tr', { has: page.getByText(device, { exact: true }) }).locator('td.last');

// The data table of a chart, newest first.
async function values(metric) {
  const c = card(metric);
  if (!(await c.locator('details').evaluate((d) => d.open))) await c.locator('summary').click();
  await c.locator('.values tbody tr').first().waitFor();
  return c.locator('.values tbody tr').evaluateAll((rows) =>
    rows.map((r) => [...r.cells].map((d) => d.textContent)).map(([time, series, value, unit]) => ({ time, series, value: Number(value), unit })),
  );
}

// Pixels of a chart with about the given colour: their number, and the columns that they span.
const pixels = (metric, [r, g, b]) =>
  card(metric).locator('canvas').evaluate((c, [r, g, b]) => {
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    const xs = new Set();
    let n = 0;
    for (let i = 0; i < d.length; i += 4) {
      if (d[i + 3] > 128 && Math.abs(d[i] - r) + Math.abs(d[i + 1] - g) + Math.abs(d[i + 2] - b) < 40) {
        n++;
        xs.add((i / 4) % c.width);
      }
    }
    return { n, columns: xs.size, width: c.width };
  }, [r, g, b]);


const blue = [0, 114, 178];
const vermilion = [213, 94, 0];
const sky = [86, 180, 233];

before(async () => {
  page = await open('main');
});
after(async () => {
  await page.context().close();
});
afterEach(() => {
  assert.deepEqual(problems.splice(0), []);
});

test('without data the page says that it waits', async () => {
  await state('live');
  await page.getByText('Waiting for the first values').waitFor();
  await page.getByText('Embedded mode').waitFor();
  assert.deepEqual(await violations(page), []);
});

test('fed values appear in the legend, in the table and as pixels', async () => {
  const points = [];
  for (let i = 0; i < 40; i++) {
    points.push(reading('temperature', 'pump-7', 20 + i / 4, (40 - i) * 10_000));
    points.push(reading('temperature', 'pump-8', 60 - i / 4, (40 - i) * 10_000));
  }
  await feed(...points);
  await until('last value', async () => (await lastOf('temperature', 'pump-7').textContent()) === '29.75' || 'no');
  const rows = await values('temperature');
  assert.deepEqual(rows.slice(0, 2).map((r) => [r.series, r.value, r.unit]).sort(), [['pump-7', 29.75, 'C'], ['pump-8', 50.25, 'C']]);
  for (const color of [blue, vermilion]) {
    // 400 s of the 600 s that are shown are two thirds of the plot's width.
    await until('line drawn', async () => {
      const p = await pixels('temperature', color);
      return (p.columns > p.width * 0.5 && p.columns < p.width * 0.72) || p;
    });
  }
});

test('the time shown grows with the data and can be chosen', async () => {
  await page.getByLabel('Time shown').selectOption({ label: '5 min' });
  await until('the line fills the plot', async () => {
    const p = await pixels('temperature', blue);
    return p.columns > p.width * 0.75 || p;
  });
  await page.getByLabel('Time shown').selectOption({ label: 'All' });
  await until('all of it again', async () => {
    const p = await pixels('temperature', blue);
    return p.columns < p.width * 0.72 || p;
  });
});

test('a value that comes now is drawn now, and the chart moves', async () => {
  const begun = Date.now();
  await feed(reading('flow', 'valve', 12.5));
  await until('value', async () => (await lastOf('flow', 'valve').textContent()) === '12.5' || 'no');
  assert.ok(Date.now() - begun < patience);
  const at = async () => (await pixels('flow', blue)).n;
  await until('mark drawn', async () => (await at()) > 0 || 'no pixels');
});

test('a late value lands in its place', async () => {
  await feed(reading('late', 'm', 1, 9000), reading('late', 'm', 3, 3000), reading('late', 'm', 2, 6000));
  await until('order', async () => {
    const got = (await values('late')).map((r) => r.value);
    return got.join() === '3,2,1' || got;
  });
});

test('a restart leaves no hole and no double', async () => {
  let next = 0;
  const batch = (n) => feed(...Array.from({ length: n }, () => reading('counter', 'seq', next++)));
  await batch(5);
  await card('counter').waitFor();
  for (let round = 0; round < 3; round++) {
    await batch(3);
    await control('/stop');
    await state('reconnecting');
    await batch(3);
    await control('/start');
    await batch(3);
    await state('live');
  }
  await until('every value once', async () => {
    const got = (await values('counter')).map((r) => r.value).sort((a, b) => a - b);
    return got.join() === Array.from({ length: next }, (_, i) => i).join() || got;
  });
});

test('while the engine is away the values stay and the page says so', async () => {
  await control('/stop');
  await state('reconnecting');
  await page.getByText('The engine cannot be reached').waitFor();
  assert.equal(await lastOf('flow', 'valve').textContent(), '12.5');
  assert.ok((await pixels('temperature', blue)).n > 0);
  assert.deepEqual(await violations(page), []);
  await control('/start');
  await state('live');
  await page.getByText('The engine cannot be reached').waitFor({ state: 'detached' });
});

test('another log clears nothing', async () => {
  await control('/stop');
  await control('/forget');
  await control('/start');
  await state('live');
  await feed(reading('flow', 'valve', 99));
  await until('new value', async () => (await lastOf('flow', 'valve').textContent()) === '99.0' || 'no');
  assert.deepEqual((await values('flow')).map((r) => r.value), [99, 12.5]);
  assert.equal(await lastOf('temperature', 'pump-7').textContent(), '29.75');
});

test('names that are markup show as text', async () => {
  const evil = '<img src=x onerror="document.title=1">';
  await feed(reading(evil, `${evil}2`, 1, 0, '<b>u</b>'));
  await page.getByRole('heading', { name: evil }).waitFor();
  await page.getByText(`${evil}2`, { exact: true }).waitFor();
  assert.equal(await page.locator('.card img, .card b').count(), 0);
  assert.equal(await page.title(), 'charts · Millrace');
});

test('the filter finds charts by name and by line', async () => {
  await page.getByLabel('Filter charts').fill('PUMP-8');
  await until('one card', async () => (await page.locator('.card').count()) === 1 || 'more');
  await page.getByLabel('Filter charts').fill('nothing like it');
  await page.getByText('No chart matches').waitFor();
  await page.getByLabel('Filter charts').fill('');
});

test('pointing at a chart shows the values of that time', async () => {
  await card('temperature').scrollIntoViewIfNeeded();
  const box = await card('temperature').locator('.u-over').boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + 40);
  await until('time in the legend', async () => {
    const head = await card('temperature').locator('.legend thead th').nth(1).textContent();
    return /^\d\d:\d\d:\d\d$/.test(head) || head;
  });
  const shown = Number(await lastOf('temperature', 'pump-7').textContent());
  assert.ok(shown > 20 && shown < 29, `value at the cursor: ${shown}`);
  await page.mouse.move(0, 0);
});

test('no violations of accessibility rules, in light and dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await until('repainted', async () => (await pixels('temperature', colorScheme === 'dark' ? sky : blue)).n > 50 || 'no');
    assert.deepEqual(await violations(page), [], colorScheme);
    if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, `page-${colorScheme}.png`), fullPage: true });
  }
});

test('everything is reached with the keyboard', async () => {
  await page.reload();
  await card('flow').waitFor();
  const reached = [];
  for (let i = 0; i < 8; i++) {
    await page.keyboard.press('Tab');
    reached.push(await page.evaluate(() => document.activeElement?.tagName));
  }
  assert.deepEqual(reached, ['A', 'BUTTON', 'A', 'A', 'A', 'INPUT', 'SELECT', 'BUTTON']);
});

test('the page speaks Korean when asked, and remembers it', async () => {
  await page.getByRole('button', { name: '한국어' }).click();
  await page.getByPlaceholder('차트 찾기').waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'ko');
  await page.reload();
  await page.getByPlaceholder('차트 찾기').waitFor();
  await card('flow').waitFor();
  await page.getByRole('button', { name: 'English' }).click();
  await page.getByPlaceholder('Filter charts').waitFor();
});

test('a Korean browser gets Korean, on a phone without sideways scrolling', async () => {
  const first = page;
  page = await open('korean', { locale: 'ko-KR', viewport: { width: 360, height: 720 } });
  await page.getByPlaceholder('차트 찾기').waitFor();
  await card('flow').waitFor();
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (SCREENSHOTS) await page.screenshot({ path: join(SCREENSHOTS, 'page-phone.png') });
  await page.context().close();
  page = first;
  assert.equal(wide, 0);
});

test('views are a click away, and the dead letters are counted', async () => {
  await control('/tell?event=graph', { pipeline: 'charts', nodes: [{ id: 'rows', kind: 'sink', type: 'sql' }], edges: [] });
  await control('/tell?event=dlq', { total: 3, reasons: [{ node: 'rows', class: 'rejected', code: '22001', count: 3 }] });
  const nav = page.getByRole('navigation');
  await nav.getByText('3', { exact: true }).waitFor();
  await nav.getByRole('link', { name: 'Graph' }).click();
  await page.locator('.g-node[data-key="n:rows"]').waitFor();
  await nav.getByRole('link', { name: 'Dead letters' }).click();
  await page.getByRole('button', { name: /rows\s*22001\s*3/ }).waitFor();
  await page.goBack();
  await page.locator('.g-node[data-key="n:rows"]').waitFor();
  await nav.getByRole('link', { name: 'Charts' }).click();
  await page.locator('.card').first().waitFor();
});
