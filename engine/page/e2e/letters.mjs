// Scenarios of the dead letters, against the engine's own routes over an embedded log.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { CONTROL_URL, PAGE_URL, SCREENSHOTS, control, open, problems, until, violations } from './browser.mjs';

let page;

const evil = '<img src=x onerror="document.title=1">';
const store = (...letters) => control('/letters/store', letters);
const refuse = (status, text = '', path = '') => control(`/letters/refuse?${new URLSearchParams({ status, text, path })}`);
const changes = async () => Number(await (await fetch(`${CONTROL_URL}/letters/changes`)).text());
const row = (text) => page.locator('.list tbody tr', { hasText: text });
const rows = (n) => until(`${n} rows`, async () => (await page.locator('.list tbody tr').count()) === n || page.locator('.list tbody tr').count());
const counted = (text) => page.locator('.counted').getByText(text, { exact: true }).waitFor();
const button = (name) => page.getByRole('button', { name, exact: true });
const dialog = () => page.getByRole('dialog');
const detail = () => page.locator('.detail');
const shot = async (name) => SCREENSHOTS && page.screenshot({ path: join(SCREENSHOTS, `letters-${name}.png`) });
const go = async (hash) => {
  await page.evaluate((h) => (location.hash = h), hash);
};
const goneFrom = (locator) => locator.waitFor({ state: 'detached' });

before(async () => {
  page = await open('letters');
  await page.getByRole('navigation').getByRole('link', { name: 'Dead letters' }).click();
});
after(async () => {
  await page.context().close();
});
afterEach(() => {
  assert.deepEqual(problems.splice(0), []);
});

test('without letters the view says that nothing failed', async () => {
  await page.getByText('Nothing has failed').waitFor();
  assert.deepEqual(await violations(page), []);
  await shot('empty');
});

test('letters appear by themselves, the newest first, counted by reason', async () => {
  await store(
    { Node: 'rows', Code: '22001', Text: 'value too long for column "name"', Key: 'press-07', Payload: '{"device":"press-07","value":21.50}', Source: true, Ago: 50_000 },
    { Node: 'rows', Code: '22001', Text: 'value too long for column "unit"', Key: 'press-08', Payload: '{"device":"press-08","value":12345678901234567890}', Source: true, Ago: 40_000, Headers: { shift: 'early', 'x-plant': 'one' } },
    { Node: 'decode', Code: 'json', Text: 'unexpected end of JSON', Key: 'pump-1', Payload: '{"device":', Ago: 30_000 },
    { Node: 'scale', Class: 'unsure', Code: 'panic', Text: 'the plugin ended: signal 11', Key: 'pump-2', Bytes: 'AAEC/0hlbGxvLCB3b3JsZCE=', Plugin: 'scale@1.2.0#0a1b2c3d', Attempt: 3, Ago: 20_000 },
  );
  await rows(4);
  assert.match(await page.locator('.list tbody tr').first().textContent(), /signal 11/);
  await counted('Dead letters: 4');
  await page.getByRole('button', { name: /rows\s*22001\s*2/ }).waitFor();
  await shot('list');
});

test('a letter shows what the node was given beside why it was refused', async () => {
  await row('column "unit"').getByRole('link').click();
  await detail().getByRole('heading', { name: 'rows: 22001' }).waitFor();
  const original = page.getByRole('region', { name: 'Original' });
  assert.equal(await original.locator('pre').first().textContent(), '{\n  "device": "press-08",\n  "value": 12345678901234567890\n}');
  for (const text of ['early', 'x-plant', 'plant1', 'readings.press-08', 'master.plant1']) await original.getByText(text, { exact: true }).first().waitFor();
  const error = page.getByRole('region', { name: 'Error', exact: true });
  for (const text of ['value too long for column "unit"', '22001', 'rejected', 'the whole event']) await error.getByText(text, { exact: true }).first().waitFor();
  assert.equal(await error.getByRole('link', { name: 'rows' }).getAttribute('href'), '#graph?node=rows');
  assert.match(page.url(), /#letters\?id=\d+-\d+$/);
  await shot('detail');
});

test('bytes are a hex dump, and a plugin is name, version and hash', async () => {
  await row('signal 11').getByRole('link').click();
  await detail().getByText('0a1b2c3d', { exact: true }).waitFor();
  for (const text of ['scale', '1.2.0', '3']) await detail().getByText(text, { exact: true }).first().waitFor();
  assert.match(await detail().locator('pre').first().textContent(), /^00000000 {2}00 01 02 ff 48 65 6c 6c {2}6f 2c 20 77 6f 72 6c 64 {2}\|\.\.\.\.Hello, world\|\n00000010 {2}21/);
  await detail().getByRole('button', { name: 'Text', exact: true }).click();
  await until('as text', async () => (await detail().locator('pre').first().textContent()).includes('Hello, world!') || 'no');
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  await detail().getByRole('button', { name: 'Copy: Hash' }).click();
  await detail().getByText('Copied').waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), '0a1b2c3d');
});

test('no violations of accessibility rules, in light and dark', async () => {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    assert.deepEqual(await violations(page), [], colorScheme);
    await shot(`detail-${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: 'light' });
});

test('the keyboard moves, opens, closes and selects', async () => {
  await page.keyboard.press('Escape');
  await goneFrom(detail());
  const focused = () => page.evaluate(() => document.activeElement?.closest('tr')?.textContent ?? document.activeElement?.id);
  assert.match(await focused(), /signal 11/);
  await page.keyboard.press('ArrowDown');
  assert.match(await focused(), /unexpected end/);
  await page.keyboard.press('Space');
  await counted('1 selected');
  await page.keyboard.press('End');
  assert.match(await focused(), /column "name"/);
  await page.keyboard.press('Enter');
  await detail().getByText('press-07', { exact: true }).first().waitFor();
  await until('focus in the letter', async () => (await focused()) === 'letter-title' || focused());
  await page.keyboard.press('Escape');
  await goneFrom(detail());
  assert.match(await focused(), /column "name"/);
  await button('Clear selection').click();
});

test('filters are in the address, and clearing them brings all back', async () => {
  await page.getByRole('button', { name: /rows\s*22001\s*2/ }).click();
  await rows(2);
  await counted('2 of 4 match');
  assert.match(page.url(), /#letters\?node=rows&class=rejected&code=22001$/);
  await page.getByLabel('Text contains').fill('"unit"');
  await rows(1);
  const address = page.url();
  await button('Clear filter').click();
  await rows(4);
  await page.goto('about:blank');
  await page.goto(address);
  await rows(1);
  assert.equal(await page.getByLabel('Text contains').inputValue(), '"unit"');
  await page.getByRole('combobox', { name: 'Time' }).selectOption({ label: 'last 15 min' });
  await page.getByRole('textbox', { name: 'Key' }).fill('nobody');
  await page.getByText('No dead letter matches').waitFor();
  assert.deepEqual(await violations(page), []);
  await button('Clear filter').first().click();
  await rows(4);
  await page.getByRole('combobox', { name: 'Time' }).selectOption({ label: 'between…' });
  await page.getByLabel('Until').fill('2020-01-01T00:00');
  await page.getByText('No dead letter matches').waitFor();
  await button('Clear filter').first().click();
  await page.getByRole('combobox', { name: 'Run' }).selectOption({ label: 'replayed letters' });
  await page.getByText('No dead letter matches').waitFor();
  await button('Clear filter').first().click();
  await rows(4);
  await button('Given up').click();
  await until('oldest first', async () => /column "name"/.test(await page.locator('.list tbody tr').first().textContent()) || 'no');
  await page.locator('.sort').click();
});

test('markup in letters shows as text', async () => {
  await store({ Node: evil, Code: evil, Text: `${evil}text`, Key: `${evil}key`, Payload: `${evil}payload`, Headers: { [`${evil}h`]: evil }, Plugin: `${evil}@1#2` });
  await row(`${evil}text`).getByRole('link').click();
  await detail().getByText(`${evil}payload`).waitFor();
  assert.equal(await page.locator('main img').count(), 0);
  assert.equal(await page.title(), 'charts · Millrace');
  assert.deepEqual(await violations(page), []);
  await page.keyboard.press('Escape');
});

test('a replay is looked at first, done once, and followed', async () => {
  await row('column "name"').getByRole('checkbox').check();
  await row('column "unit"').getByRole('checkbox').check();
  await row('unexpected end').getByRole('checkbox').check();
  await store({ Node: 'removed', Code: 'x', Text: 'of a node that is gone', Key: 'k', Payload: '1' });
  await rows(6);
  await counted('3 selected'); // what comes changes nothing of it
  await row('node that is gone').getByRole('checkbox').check();
  await button('Replay…').click();
  await dialog().getByText('Leaving the list: 3. Events given to nodes: 3.').waitFor();
  await dialog().getByText('The pipeline has no node “removed”.').waitFor();
  assert.deepEqual(await violations(page), []);
  await shot('replay');
  await dialog().getByLabel('at the source').check();
  await dialog().getByText('Its message is not in the journal any more.').waitFor();
  await dialog().getByLabel('at the node').check();
  await dialog().getByText('Leaving the list: 3.').waitFor();
  assert.equal(await changes(), 0);
  await control('/letters/waiting?node=rows&events=2');
  await control('/letters/hold');
  await dialog().getByRole('button', { name: 'Replay 3' }).dblclick();
  await dialog().getByRole('button', { name: 'Replaying…' }).click({ force: true });
  await control('/letters/release');
  await goneFrom(dialog());
  await page.getByText('Replayed: 3. Events: 3. Still on their way: 2.').waitFor();
  await rows(3);
  assert.equal(await changes(), 1);
  await counted('1 selected');
});

test('what came back from a replay is marked', async () => {
  await store({ Node: 'rows', Code: '22001', Text: 'value too long again', Key: 'press-07', Payload: '1', Generation: 'redrive' });
  await control('/letters/waiting?node=rows&events=0');
  await page.getByText('Came back: 1.').waitFor();
  await shot('back');
  await button('Show them').click();
  await rows(1);
  await row('value too long again').getByText('came back').waitFor();
  await button('Clear filter').click();
  await page.getByRole('button', { name: 'Dismiss' }).click();
});

test('waiting letters say what they wait for', async () => {
  await store(
    { Node: 'strict', Code: 'bad', Text: 'the first of its key', Key: 'oven', Payload: '1', Strict: true },
    { Node: 'strict', Code: 'waits', Text: 'waits behind an earlier event of its key', Key: 'oven', Payload: '2', Waits: true },
  );
  await row('waits behind').locator('.letter-flag', { hasText: 'waits' }).waitFor();
  await row('waits behind').getByRole('link').click();
  await detail().getByText('It waits', { exact: true }).waitFor();
  await detail().getByRole('link', { name: /bad/ }).click();
  await detail().getByText('Letters of its key that wait behind it: 1.').waitFor();
  await page.keyboard.press('Escape');
});

test('content that was too large says how large it was', async () => {
  await store({ Node: 'rows', Code: 'large', Text: 'above 16 MiB', Key: 'big', Payload: 'x'.repeat(64 << 10) + 'the end', Length: 20 << 20 });
  await row('above 16 MiB').getByRole('link').click();
  await detail().getByText('20.0 MiB').waitFor();
  await detail().getByText('0123456789abcdef'.repeat(4)).waitFor();
  await detail().getByRole('button', { name: /^Show more/ }).click();
  await until('all of it', async () => (await detail().locator('pre').first().textContent()).endsWith('the end') || 'no');
  await page.keyboard.press('Escape');
});

test('all that a filter takes are selected, listed page by page, and dropped when their number is typed', async () => {
  await store(...Array.from({ length: 130 }, (_, i) => ({ Node: 'bulk', Code: 'many', Text: `number ${i}`, Key: `k${i}`, Payload: '1' })));
  await page.getByRole('button', { name: /bulk\s*many\s*130/ }).click();
  await rows(100);
  await page.getByRole('button', { name: 'Show more' }).click();
  await rows(130);
  await page.evaluate(() => scrollTo(0, 1500));
  const top = () => page.locator('.list tbody tr', { hasText: 'number 60' }).evaluate((r) => Math.round(r.getBoundingClientRect().top));
  const before = await top();
  await store({ Node: 'bulk', Code: 'many', Text: 'one more', Key: 'late', Payload: '1' });
  await rows(131);
  assert.ok(Math.abs((await top()) - before) <= 2, 'the rows stay where they are');
  await page.getByLabel('Select all that are shown').check();
  await counted('131 selected');
  await row('number 60').getByRole('checkbox').uncheck();
  await counted('130 selected');
  await button('Select all 131').click();
  await counted('All 131 selected that match now');
  await store({ Node: 'bulk', Code: 'many', Text: 'too late', Key: 'late', Payload: '1' });
  await rows(132);
  await counted('All 131 selected that match now');
  assert.equal(await row('too late').getByRole('checkbox').isChecked(), false);
  await button('Drop…').click();
  await dialog().getByRole('heading', { name: 'Drop 131 dead letters?' }).waitFor();
  const drop = dialog().getByRole('button', { name: 'Drop 131' });
  await drop.waitFor();
  const done = await changes();
  await drop.click({ force: true });
  assert.equal(await drop.getAttribute('aria-disabled'), 'true');
  await dialog().getByLabel('Type 131 to confirm').fill('131');
  assert.deepEqual(await violations(page), []);
  await shot('drop');
  await drop.dblclick();
  await page.getByText('Dropped: 131.').waitFor();
  await rows(1);
  assert.equal(await changes(), done + 1);
  await button('Clear filter').click();
  await page.locator('.list tbody tr').nth(1).waitFor(); // there are others again
});

test('letters are exported as lines of JSON, those selected or all', async () => {
  const lines = async () => {
    const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: /^Export \d/ }).click()]);
    assert.match(download.suggestedFilename(), /^dead-letters-charts-\d{8}-\d{6}\.jsonl$/);
    return (await readFile(await download.path(), 'utf8')).trim().split('\n').map((l) => JSON.parse(l));
  };
  const n = await page.locator('.list tbody tr').count();
  assert.equal((await lines()).length, n);
  await page.getByText(`Exported: ${n} (`).waitFor();
  await row('too late').getByRole('checkbox').check();
  const one = await lines();
  assert.deepEqual([one.length, one[0].text, one[0].event.payload], [1, 'too late', '1']);
  await button('Clear selection').click();
});

test('a refusal is told where it was asked, and can be tried again', async () => {
  await refuse(503, 'the log is away', '/api/v1/dlq/replay');
  await row('too late').getByRole('link').click();
  await detail().getByRole('button', { name: 'Replay…' }).click();
  await dialog().getByText('the log is away (503)').waitFor();
  assert.deepEqual(await violations(page), []);
  await refuse(0);
  await dialog().getByRole('button', { name: 'Try again' }).click();
  await dialog().getByRole('button', { name: 'Replay 1' }).waitFor();
  await refuse(503, 'the log is away again', '/api/v1/dlq/replay');
  await dialog().getByRole('button', { name: 'Replay 1' }).click();
  await dialog().getByText('the log is away again (503)').waitFor();
  await dialog().getByText('A part may have been done already.').waitFor();
  await page.keyboard.press('Escape');
  await goneFrom(dialog());
  await detail().waitFor(); // Esc closed the dialog alone
  await refuse(0);
  await page.keyboard.press('Escape');
  await goneFrom(detail());
});

test('while the engine is away the letters stay, and the page says so', async () => {
  const n = await page.locator('.list tbody tr').count();
  await control('/stop');
  await page.getByRole('textbox', { name: 'Key' }).fill('late');
  await page.getByText('The dead letters could not be read.').waitFor();
  assert.equal(await page.locator('.list tbody tr').count(), n);
  await row('too late').getByRole('link').click();
  await detail().getByText('The engine cannot be reached.').waitFor();
  assert.deepEqual(await violations(page), []);
  await shot('away');
  await control('/start');
  await page.locator('.chip[data-state=live]').waitFor();
  await rows(1);
  await page.getByText('The dead letters could not be read.').waitFor({ state: 'detached' });
  await detail().getByRole('heading', { name: 'bulk: many' }).waitFor();
  await page.keyboard.press('Escape');
  await button('Clear filter').click();
});

test('a letter that is gone says so', async () => {
  await go('#letters?id=1-1');
  await page.getByText('This letter is not there any more.').waitFor();
  await page.keyboard.press('Escape');
  await goneFrom(detail());
});

test('a Korean browser gets Korean, on a phone without sideways scrolling', async () => {
  const first = page;
  page = await open('korean', { locale: 'ko-KR', viewport: { width: 360, height: 740 } });
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await go('#letters');
  await page.getByText(/^배달 못 한 메시지 \d+건$/).waitFor();
  await shot('phone');
  assert.equal(await wide(), 0);
  assert.deepEqual(await violations(page), []);
  await page.getByRole('button', { name: '필터' }).click();
  await page.getByLabel('내용에 포함').waitFor();
  assert.equal(await wide(), 0);
  await shot('phone-filter');
  await page.getByRole('button', { name: '필터' }).click();
  await row(`${evil}text`).getByRole('link').click();
  await page.getByRole('region', { name: '오류', exact: true }).waitFor();
  await shot('phone-detail');
  assert.equal(await wide(), 0);
  assert.deepEqual(await violations(page), []);
  await detail().getByRole('button', { name: '다시 처리…' }).click();
  await dialog().getByText('메시지 1건이 목록에서 빠지고').waitFor();
  await shot('phone-replay');
  assert.equal(await wide(), 0);
  await page.keyboard.press('Escape');
  await goneFrom(dialog());
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.keyboard.press('Escape');
  await goneFrom(detail());
  await until('focus is back', async () => (await page.evaluate(() => document.activeElement?.closest('tr')?.dataset.id !== undefined)) || 'no');
  await shot('phone-dark');
  await page.context().close();
  page = first;
});

test('a token without the scope says which is needed, and how to get it', async () => {
  const first = page;
  const observer = 'observer-of-letters-0';
  await control('/stop');
  await control(`/letters/tokens?${new URLSearchParams({ text: `observe ${observer};observe,tap watcher-of-letters-00` })}`);
  await control('/start');
  page = await open('observer', { httpCredentials: { username: 'page', password: observer, origin: PAGE_URL } });
  await go('#letters');
  await row('too late').getByRole('link').click();
  await detail().getByText('The scope “tap” is needed').waitFor();
  await page.keyboard.press('Escape');
  await row('too late').getByRole('checkbox').check();
  await button('Drop…').click();
  await dialog().getByText('The scope “operate” is needed').waitFor();
  await dialog().getByText('“observe,tap,operate TOKEN”').waitFor();
  await shot('scope');
  await page.context().close();
  page = first;
});
