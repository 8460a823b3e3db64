// What the scenarios of the page share: a real browser, the address of the engine that
// serves the page, and the control address that feeds, stops and starts it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const { PAGE_URL, CONTROL_URL, CHROMIUM, PROFILE, SCREENSHOTS } = process.env;
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
export const patience = 20_000;

export const control = async (path, body) => {
  const answer = await fetch(CONTROL_URL + path, { method: 'POST', body: body && JSON.stringify(body) });
  assert.equal(answer.status, 200, path);
};
export const reading = (Metric, Device, Value, Ago = 0, Unit = 'C') => ({ Metric, Device, Value, Ago, Unit });
export const feed = (...points) => control('/feed', points);

// What a page must never do: throw, break its policy, ask elsewhere.
export const problems = [];

// Each profile is its own persistent context with an empty folder.
export async function open(name, options = {}) {
  const context = await chromium.launchPersistentContext(join(PROFILE, name), {
    executablePath: CHROMIUM,
    headless: true,
    viewport: { width: 1280, height: 800 },
    locale: 'en-US',
    timezoneId: 'UTC',
    ...options,
    args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  context.setDefaultTimeout(patience);
  const p = context.pages()[0] ?? (await context.newPage());
  p.on('pageerror', (e) => problems.push(`error: ${e.message}`));
  p.on('console', (m) => /Content Security Policy/.test(m.text()) && problems.push(m.text()));
  p.on('request', (r) => !r.url().startsWith(PAGE_URL) && !r.url().startsWith('data:') && problems.push(`asked ${r.url()}`));
  await p.goto(PAGE_URL);
  return p;
}

// Waits until f returns true; what says what is waited for.
export async function until(what, f) {
  const end = Date.now() + patience;
  for (;;) {
    const got = await f();
    if (got === true) return;
    if (Date.now() > end) assert.fail(`${what}: ${JSON.stringify(got)}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

// What axe finds wrong on the page, in words.
export const violations = async (page) => {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.target.join(' ') + ' ' + n.failureSummary).join('; ')}`);
};
