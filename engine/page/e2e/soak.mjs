// The page for a while, under a steady feed and with its views changed again and again:
// what it holds does not grow. A minute; twenty with MILLRACE_SOAK=1.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { feed, open, problems, reading, until } from './browser.mjs';

const minutes = process.env.MILLRACE_SOAK === '1' ? 20 : 1;
const metrics = ['temperature', 'pressure', 'flow', 'level'];
const devices = ['a', 'b', 'c', 'd'];
const mostPoints = 6000; // of a line, which is what charts keep

let page;
let cdp;

before(async () => {
  page = await open('soak');
  cdp = await page.context().newCDPSession(page);
});
after(async () => {
  await page.context().close();
});

// A point for each line, ms before now.
const round = (ago) => metrics.flatMap((m, i) => devices.map((d, k) => reading(m, d, Math.sin(ago / 700 + i) * 10 + k, ago)));

// What is left in use once everything that can be given back is, in bytes.
async function heap() {
  for (let i = 0; i < 3; i++) await cdp.send('HeapProfiler.collectGarbage');
  return (await cdp.send('Runtime.getHeapUsage')).usedSize;
}

// Through everything that a visitor opens and closes.
async function visit() {
  for (const view of ['graph', 'letters', 'charts']) {
    await page.evaluate((v) => void (location.hash = `#${v}`), view);
    await page.locator(`nav [aria-current=page][href="#${view}"]`).waitFor();
  }
  await page.locator('.card').nth(metrics.length - 1).waitFor();
  await page.keyboard.press('Space');
  await page.getByText('behind now').waitFor();
  await page.keyboard.press('Space');
  await page.getByText('behind now').waitFor({ state: 'detached' });
  await page.keyboard.press('?');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
}

test('the heap stays flat', { timeout: (minutes + 3) * 60_000 }, async () => {
  for (let full = 0; full < mostPoints; full += 200) {
    await feed(...Array.from({ length: 200 }, (_, i) => round((mostPoints - full - i) * 90)).flat());
  }
  await page.locator('.card').nth(metrics.length - 1).waitFor();
  await visit();
  await visit();
  const first = await heap();
  const end = Date.now() + minutes * 60_000;
  let visits = 0;
  for (let n = 1; Date.now() < end; n++) {
    await feed(...round(0));
    await new Promise((done) => setTimeout(done, 20));
    if (n % 100 === 0 && ++visits) await visit();
  }
  await until('a heap as before', async () => {
    const last = await heap();
    console.log(`heap ${(first / 2 ** 20).toFixed(1)} MiB, ${(last / 2 ** 20).toFixed(1)} MiB after ${minutes} min and ${visits} rounds through the views`);
    return last < first * 1.1 + 2 ** 20 || last;
  });
  assert.ok(visits > 0);
  assert.deepEqual(problems.splice(0), []);
});
