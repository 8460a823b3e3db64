// The page for a while, under a steady feed and with its views changed again and again:
// what it holds does not grow. A minute; twenty with MILLRACE_SOAK=1. And a page that
// leaks on purpose.
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

// True if what the page holds is about what it held first, in bytes; else what it holds.
async function flat(first) {
  const last = await heap();
  return last < first * 1.1 + 2 ** 20 || last;
}

// A steady feed, and the views changed every hundredth round, as long as going says.
async function use(going) {
  let visits = 0;
  for (let n = 1; going(n); n++) {
    await feed(...round(0));
    await new Promise((done) => setTimeout(done, 20));
    if (n % 100 === 0 && ++visits) await visit();
  }
  return visits;
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
  const visits = await use(() => Date.now() < end);
  await until('a heap as before', () => flat(first));
  const last = await heap();
  console.log(`heap ${(first / 2 ** 20).toFixed(1)} MiB, ${(last / 2 ** 20).toFixed(1)} MiB after ${minutes} min and ${visits} rounds through the views`);
  assert.ok(visits > 0);
  assert.deepEqual(problems.splice(0), []);
});

// The control: a page that keeps a little whenever something comes is noticed by the same
// judgement, and by nothing else than what it keeps.
test('a leak does not pass for flat', { timeout: 180_000 }, async () => {
  const first = await heap();
  await page.evaluate(() => {
    window.kept = [];
    const { parse } = JSON;
    window.mend = () => {
      JSON.parse = parse;
      window.kept = [];
    };
    JSON.parse = (...args) => {
      window.kept.push(Array.from({ length: 8192 }, (_, i) => i / 7)); // 64 kB
      return parse(...args);
    };
  });
  while ((await page.evaluate(() => window.kept.length)) < 60) await use((n) => n <= 10);
  assert.notEqual(await flat(first), true, 'the leak passes');
  await page.evaluate(() => window.mend());
  await until('a heap as before', () => flat(first));
});
