// Scenarios of the frame around the charts: legend, exports, layout, themes, keys and
// the state of the connection.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { PAGE_URL, SCREENSHOTS, control, feed, open, problems, reading, until, violations } from './browser.mjs';

let page;
let other; // another browser, in another time zone

const card = (metric, p = page) => p.locator(`.card[data-chart="live/${metric}"]`);
const state = (s, p = page) => p.locator(`.chip[data-state=${s}]`).waitFor();
const line = (metric, device) => card(metric).locator('.legend').getByRole('button', { name: device, exact: true });
const showAll = (metric) => card(metric).getByRole('button', { name: /^Show all/ });
const titles = (p = page) => p.locator('.card h3').allTextContents();
const settings = () => new URLSearchParams(new URL(page.url()).hash.split('?')[1]);
const ordered = (want) => until(`order ${want}`, async () => (await titles()).join() === want || titles());
const theme = () => page.evaluate(() => ({ ...document.documentElement.dataset }));
const shot = async (name, p = page) => SCREENSHOTS && (await p.screenshot({ path: join(SCREENSHOTS, `chrome-${name}.png`) }));
const focused = () => page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent);

const blue = [0, 114, 178];
const vermilion = [213, 94, 0];

// How many pixels of a chart have about the given colour.
const pixels = (metric, color) =>
  card(metric).locator('canvas').evaluate((c, [r, g, b]) => {
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    let n = 0;
    for (let i = 0; i < d.length; i += 4) n += d[i + 3] > 128 && Math.abs(d[i] - r) + Math.abs(d[i + 1] - g) + Math.abs(d[i + 2] - b) < 40;
    return n;
  }, color);
const drawn = (metric, color, want) => until(`${metric} drawn: ${want}`, async () => (await pixels(metric, color)) > 20 === want || 'not yet');

const pressed = (metric, device, want) =>
  until(`${device}: ${want}`, async () => (await line(metric, device).getAttribute('aria-pressed')) === String(want) || 'not yet');

// Opens the menu of a chart.
async function menu(metric) {
  const button = card(metric).locator('.more');
  await button.click();
  await card(metric).locator('.pop input').first().waitFor();
}

// What a click on the menu's item lets the browser download.
async function download(metric, item) {
  await menu(metric);
  const [file] = await Promise.all([page.waitForEvent('download'), card(metric).getByRole('button', { name: item }).click()]);
  return { name: file.suggestedFilename(), bytes: await readFile(await file.path()) };
}

// Runs f with the other browser in place of the first.
async function elsewhere(f) {
  [page, other] = [other, page];
  try {
    await f();
  } finally {
    [page, other] = [other, page];
  }
}

before(async () => {
  page = await open('chrome');
  other = await open('other', { timezoneId: 'Asia/Seoul' });
  const points = [];
  for (let i = 0; i < 60; i++) {
    points.push(reading('temperature', 'pump-7', 20 + (i % 10), (60 - i) * 5000));
    points.push(reading('temperature', 'pump-8', 900 - (i % 7), (60 - i) * 5000));
    points.push(reading('flow', '=1+1', i, (60 - i) * 5000, '@u'));
    points.push(reading('pressure', 'valve', Math.sin(i / 9), (60 - i) * 5000, 'bar'));
    for (let k = 0; k < 12; k++) points.push(reading('many', `motor ${k}`, k + Math.sin(i / 5 + k), (60 - i) * 5000, 'A'));
  }
  await feed(...points);
  await state('live');
  for (const m of ['temperature', 'flow', 'pressure', 'many']) await card(m).waitFor();
});
after(async () => {
  await page.context().close();
  await other.context().close();
});
afterEach(() => {
  assert.deepEqual(problems.splice(0), []);
});

test('a click hides a line and takes it out of the range; it stays so', async () => {
  await drawn('temperature', blue, true);
  await line('temperature', 'pump-8').click();
  await drawn('temperature', vermilion, false);
  await pressed('temperature', 'pump-8', false);
  // Alone, 20 to 29 fills the height that was flat beside 900.
  await until('the range follows', async () => {
    const rows = await card('temperature').locator('canvas').evaluate((c) => {
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      const ys = new Set();
      for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 128 && d[i] < 40 && Math.abs(d[i + 1] - 114) < 20 && d[i + 2] > 150) ys.add(Math.floor(i / 4 / c.width));
      return ys.size / c.height;
    });
    return rows > 0.5 || rows;
  });
  await page.reload();
  await drawn('temperature', blue, true);
  assert.ok((await pixels('temperature', vermilion)) < 20);
  await showAll('temperature').click();
  await drawn('temperature', vermilion, true);
  await showAll('temperature').waitFor({ state: 'detached' });
});

test('a line is shown alone by alt, by a double click and by its button', async () => {
  const alone = async (act) => {
    await act();
    await pressed('temperature', 'pump-7', false);
    await pressed('temperature', 'pump-8', true);
    await drawn('temperature', blue, false);
    await showAll('temperature').click();
    await drawn('temperature', blue, true);
  };
  await alone(() => line('temperature', 'pump-8').click({ modifiers: ['Alt'] }));
  await alone(() => line('temperature', 'pump-8').dblclick());
  await alone(async () => {
    await line('temperature', 'pump-8').focus();
    await page.keyboard.press('Tab');
    assert.equal(await focused(), 'Only pump-8');
    await page.keyboard.press('Enter');
  });
});

test('many lines can be searched', async () => {
  await card('temperature').locator('.sieve').waitFor({ state: 'detached' });
  await card('many').getByLabel('many: Find lines').fill('MOTOR 1');
  await until('three lines', async () => (await card('many').locator('.legend tbody tr').count()) === 3 || 'not');
  await card('many').getByLabel('many: Find lines').fill('none such');
  await card('many').getByText('No line matches').waitFor();
  await card('many').getByLabel('many: Find lines').fill('');
});

test('values in view are saved, and no spreadsheet runs them', async () => {
  const { name, bytes } = await download('flow', 'Save values in view');
  assert.match(name, /^flow-\d{8}T\d{6}Z\.csv$/);
  const lines = bytes.toString('utf8').split('\r\n');
  assert.equal(lines[0], '\ufefftime,series,value,unit');
  assert.equal(lines.pop(), '');
  assert.ok(lines.length > 20, `${lines.length} lines`);
  for (const row of lines.slice(1)) assert.match(row, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z,'=1\+1,\d+,'@u$/);
  assert.equal(await focused(), 'flow: menu');
});

test('a picture has background, lines and legend', async () => {
  const { name, bytes } = await download('temperature', 'Save as picture');
  assert.match(name, /^temperature-.*\.png$/);
  const seen = await page.evaluate(async (text) => {
    const raw = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([raw], { type: 'image/png' }));
    const c = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
    c.drawImage(picture, 0, 0);
    const d = c.getImageData(0, 0, picture.width, picture.height).data;
    const rows = new Set();
    for (let i = 0; i < d.length; i += 4) if (d[i] < 40 && Math.abs(d[i + 1] - 114) < 20 && d[i + 2] > 150) rows.add(Math.floor(i / 4 / picture.width));
    const plot = document.querySelector('[data-chart="live/temperature"] canvas');
    return { corner: [...d.slice(0, 4)], below: Math.max(...rows) > picture.height - 40, taller: picture.height > plot.height + 40 };
  }, bytes.toString('base64'));
  assert.deepEqual(seen, { corner: [255, 255, 255, 255], below: true, taller: true });
  if (SCREENSHOTS) await (await import('node:fs/promises')).writeFile(join(SCREENSHOTS, 'chrome-export.png'), bytes);
});

test('charts are moved by keys, by the menu and by dragging', async () => {
  await ordered('flow,many,pressure,temperature');
  await card('temperature').locator('.grip').focus();
  await page.keyboard.press('ArrowUp');
  await ordered('flow,many,temperature,pressure');
  await page.getByRole('status').getByText('temperature: place 3 of 4').waitFor();
  await until('the focus stays', async () => (await focused()) === 'Move temperature' || focused());
  await page.keyboard.press('ArrowUp');
  await ordered('flow,temperature,many,pressure');
  await menu('flow');
  await card('flow').getByRole('button', { name: 'Move down' }).click();
  await ordered('temperature,flow,many,pressure');
  await page.keyboard.press('Escape');
  await card('pressure').locator('.grip').dragTo(card('temperature').locator('h3'));
  await ordered('pressure,temperature,flow,many');
});

test('charts take more room, or none', async () => {
  const width = async (m) => (await card(m).boundingBox()).width;
  const one = await width('pressure');
  await menu('pressure');
  await card('pressure').getByLabel('Full width').check();
  await until('wider', async () => (await width('pressure')) > one * 2.5 || width('pressure'));
  await shot('menu');
  await card('pressure').getByRole('button', { name: 'Hide this chart' }).click();
  await card('pressure').waitFor({ state: 'detached' });
  await until('the focus is on the way back', async () => (await focused()) === 'Show pressure' || focused());
  await page.reload();
  await card('many').waitFor();
  await ordered('temperature,flow,many');
  await page.getByRole('button', { name: 'Show pressure' }).click();
  await until('the focus is on the chart', async () => (await focused()) === 'pressure: menu' || focused());
  await until('wide again', async () => (await width('pressure')) > one * 2.5 || width('pressure'));
});

test('a link shows the same layout to others, and theirs stays', async () => {
  await line('temperature', 'pump-8').click();
  await until('in the address', async () => settings().has('lines') || page.url());
  const mine = page;
  await elsewhere(async () => {
    await card('flow').waitFor();
    await ordered('flow,many,pressure,temperature');
    await page.goto(mine.url());
    await ordered('pressure,temperature,flow,many');
    await pressed('temperature', 'pump-8', false);
    await page.goto('about:blank');
    await page.goto(PAGE_URL);
    await card('flow').waitFor();
    await ordered('flow,many,pressure,temperature');
  });
  await showAll('temperature').click();
});

test('damaged layouts and refused storage break nothing', async () => {
  await elsewhere(async () => {
    await page.evaluate(() => localStorage.setItem('millrace.layout', 'theme=%ff&order=..&lang=__proto__&size=w&\0'));
    for (const hash of ['#charts?order=%00.%zz&theme=constructor&tz=Mars&lines=<b>&hide=&size=wx.wx.w', '#%%%', '#charts?=&&&?']) {
      await page.goto('about:blank');
      await page.goto(PAGE_URL + '/' + hash);
      await card('flow').waitFor();
    }
    await page.addInitScript(() => {
      Object.defineProperty(window, 'localStorage', { get: () => { throw new DOMException('refused', 'SecurityError'); } });
    });
    await page.goto('about:blank');
    await page.goto(PAGE_URL);
    await card('flow').waitFor();
    await page.keyboard.press('t');
    await page.keyboard.press('t');
    await until('dark', async () => (await theme()).scheme === 'dark' || theme());
  });
});

test('times are shown in the zone that is chosen', async () => {
  await elsewhere(async () => {
    await page.goto(PAGE_URL);
    await card('flow').waitFor();
    await card('flow').locator('summary').click();
    const head = card('flow').locator('.values th').first();
    const hour = async () => Number((await card('flow').locator('.values tbody td').first().textContent()).slice(11, 13));
    await head.getByText('Time (UTC+9)').waitFor();
    const there = await hour();
    await page.keyboard.press('z');
    await card('flow').locator('.zone', { hasText: /^UTC$/ }).waitFor();
    await head.getByText('Time (UTC)', { exact: true }).waitFor();
    assert.equal(((await hour()) + 9) % 24, there);
    await page.getByRole('status').getByText('Time zone: UTC').waitFor();
    await page.keyboard.press('z');
    await page.getByRole('status').getByText('The server’s').waitFor();
  });
});

test('keys: a dialog lists them, and fields keep what is typed', async () => {
  await page.getByRole('button', { name: 'Keys' }).click();
  const dialog = page.getByRole('dialog', { name: 'Keys' });
  for (const key of ['1', '2', '3', '/', 'Space', 't', 'l', 'z', '?', 'Esc']) await dialog.locator('kbd').getByText(key, { exact: true }).waitFor();
  await shot('keys');
  assert.deepEqual(await violations(page), []);
  await page.keyboard.press('t'); // a dialog keeps its keys, too
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await until('the focus is back', async () => (await focused()) === 'Keys' || focused());
  assert.equal((await theme()).scheme, 'light');
  await page.keyboard.press('2');
  await page.locator('nav a[aria-current]', { hasText: 'Graph' }).waitFor();
  await page.keyboard.press('/');
  await until('in the filter', async () => (await focused()) === 'Filter charts' || focused());
  await page.keyboard.type('12tlz? /');
  assert.equal(await page.getByLabel('Filter charts').inputValue(), '12tlz? /');
  assert.equal((await theme()).scheme, 'light');
  await page.getByLabel('Filter charts').fill('');
});

test('everything is done with the keyboard alone', async () => {
  const tabTo = async (what) => {
    for (let i = 0; i < 80; i++) {
      await page.keyboard.press('Tab');
      if ((await focused()) === what) return;
    }
    assert.fail(`not reached: ${what}`);
  };
  await page.goto(PAGE_URL + '/#charts');
  await card('flow').waitFor();
  await page.evaluate(() => document.activeElement?.blur());
  await tabTo('Settings');
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Settings' });
  await dialog.waitFor();
  await shot('settings');
  await dialog.locator('input[value=auto]').focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowRight');
  await until('dark', async () => (await theme()).scheme === 'dark' || theme());
  await page.keyboard.press('Tab');
  await page.keyboard.press('ArrowDown'); // Korean
  await page.getByRole('dialog', { name: '설정' }).waitFor();
  await page.keyboard.press('ArrowUp');
  await dialog.waitFor();
  await page.keyboard.press('Escape');
  await until('the focus is back', async () => (await focused()) === 'Settings' || focused());
  await tabTo('temperature: menu');
  await page.keyboard.press('Enter');
  await card('temperature').locator('.pop input:focus').waitFor();
  await page.keyboard.press('ArrowDown');
  await until('wide', async () => (await card('temperature').getAttribute('data-size')) === 'wide' || 'no');
  await page.keyboard.press('Escape');
  await until('the focus is back', async () => (await focused()) === 'temperature: menu' || focused());
  await tabTo('pump-7');
  await page.keyboard.press('Space');
  await pressed('temperature', 'pump-7', false);
  await page.keyboard.press('Shift+?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  await page.keyboard.press('Escape');
  await tabTo('Values');
  await page.keyboard.press('Enter');
  await card('temperature').locator('.values tbody tr').first().waitFor();
});

test('reset forgets every choice', async () => {
  await page.getByRole('button', { name: 'Settings' }).click();
  await page.getByRole('button', { name: 'Reset everything' }).click();
  await page.getByRole('button', { name: 'Done' }).click();
  await ordered('flow,many,pressure,temperature');
  assert.equal(settings().size, 0);
  assert.equal(await page.evaluate(() => localStorage.getItem('millrace.layout')), '');
  await drawn('temperature', blue, true);
});

test('no violations of accessibility rules in any theme, in both languages', async () => {
  await menu('flow');
  await page.locator('.values summary').first().click();
  for (const [chosen, colorScheme] of [['dark', 'light'], ['contrast', 'light'], ['contrast', 'dark']]) {
    await page.emulateMedia({ colorScheme });
    await page.evaluate((to) => (location.hash = `#charts?theme=${to}&lang=${to === 'dark' ? 'ko' : 'en'}`), chosen);
    const want = { scheme: chosen === 'contrast' ? colorScheme : chosen, contrast: chosen === 'contrast' ? 'more' : '' };
    await until('theme', async () => JSON.stringify(await theme()) === JSON.stringify(want) || theme());
    await page.locator('.chip').focus();
    await page.locator('.tip .fact').first().waitFor();
    assert.deepEqual(await violations(page), [], `${chosen} ${colorScheme}`);
    await shot(`${chosen}-${colorScheme}`);
  }
  await page.emulateMedia({ colorScheme: null, forcedColors: 'active' });
  await shot('forced');
  await page.emulateMedia({ forcedColors: null, contrast: 'more' });
  await page.evaluate(() => (location.hash = '#charts?theme=&lang='));
  await until('contrast as the system asks', async () => (await theme()).contrast === 'more' || theme());
  await page.emulateMedia({ contrast: null });
  await until('none', async () => (await theme()).contrast === '' || theme());
});

test('the chip tells what there is to know, and what it tells is announced', async () => {
  await page.locator('.chip').blur();
  await page.locator('.chip').hover();
  for (const name of ['Last message', 'Behind the log', 'Server’s clock', 'Newest value', 'Server’s time']) await page.locator('.tip').getByText(name).waitFor();
  await page.mouse.move(0, 400);
  await page.locator('.tip').waitFor({ state: 'detached' });
  await page.locator('.chip').focus();
  await page.locator('.tip').waitFor();
  await page.keyboard.press('Escape');
  await page.locator('.tip').waitFor({ state: 'detached' });
  await control('/stop');
  await page.getByRole('status').getByText('Connection: Reconnecting').waitFor();
  await control('/start');
  await page.getByRole('status').getByText('Connection: Live').waitFor();
  await control('/tell?event=dlq', { total: 3, reasons: [] });
  await page.getByRole('status').getByText('Dead letters: 3').waitFor();
});

test('an engine that lags, and clocks that differ, are told', async () => {
  await elsewhere(async () => {
    await page.addInitScript(() => {
      const [ask, now] = [fetch, Date.now];
      Date.now = () => now() + 65_000;
      window.fetch = async (...a) => {
        const answer = await ask(...a);
        if (!answer.body || !String(a[0]).includes('/live')) return answer;
        const late = new TransformStream({ transform: (text, to) => to.enqueue(text.replace(/"lag_ms":\d+/, '"lag_ms":12000')) });
        return new Response(answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(late).pipeThrough(new TextEncoderStream()));
      };
    });
    await page.reload();
    await state('lagging');
    await page.getByText('Lagging 12 s').waitFor();
    await page.locator('.chip').hover();
    await page.locator('.tip').getByText('12 s behind its log').waitFor();
    await page.getByText(/computer is (1 min|65 s) ahead/).waitFor();
    await shot('lagging');
    assert.deepEqual(await violations(page), []);
  });
});

test('a refusal is shown with its reason and what to do', async () => {
  const cases = [
    [401, 'a token is needed: <b>TOKEN</b>', 'Load the page again and give a token'],
    [403, 'this token does not allow to observe', 'scope observe'],
    [503, '64 viewers are all that there may be', 'tries again by itself'],
  ];
  for (const [status, text, todo] of cases) {
    await page.route('**/api/v1/live?*', (r) => r.fulfill({ status, headers: status === 503 ? { 'Retry-After': '1' } : {}, contentType: 'text/plain', body: text }));
    await control('/stop');
    await control('/start');
    await state('refused');
    const alert = page.getByRole('alert');
    await alert.getByText(`${text} (${status})`).waitFor();
    await alert.getByText(todo).waitFor();
    await card('flow').waitFor(); // nothing is cleared
    if (status === 403) {
      await shot('refused');
      assert.deepEqual(await violations(page), []);
    }
    await page.unroute('**/api/v1/live?*');
    if (status !== 503) await alert.getByRole('button', { name: 'Try again' }).click();
    await state('live');
    await alert.waitFor({ state: 'detached' });
  }
});

test('a phone shows all of it without sideways scrolling', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const lang of ['en', 'ko']) {
    await page.evaluate((l) => (location.hash = `#charts?lang=${l}`), lang);
    await until('language', async () => (await page.evaluate(() => document.documentElement.lang)) === lang || 'no');
    await menu('many');
    await page.locator('.chip').focus();
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(await wide(), 0);
    await shot(`phone-${lang}`);
    await page.locator('.icon').first().click();
    await page.getByRole('dialog').waitFor();
    assert.equal(await wide(), 0);
    await shot(`phone-settings-${lang}`);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
  await page.evaluate(() => (location.hash = '#charts?lang='));
  await page.setViewportSize({ width: 1280, height: 800 });
});

// None of these may do anything but stand there.
const corpus = [
  '<script>window.ran=1</script>',
  '<img src=x onerror=window.ran=1>',
  '<svg onload=window.ran=1>',
  '<svg><script>window.ran=1</script></svg>',
  '"><script>window.ran=1</script>',
  `' onmouseover='window.ran=1`,
  '" onfocus="window.ran=1" autofocus="',
  'javascript:window.ran=1',
  '<a href="javascript:window.ran=1">x</a>',
  '<iframe srcdoc="<script>parent.ran=1</script>"></iframe>',
  '<math><mi xlink:href="javascript:window.ran=1">x</mi></math>',
  '<style>*{display:none}</style>',
  '</title><script>window.ran=1</script>',
  '<details open ontoggle=window.ran=1>',
  '{{constructor.constructor("window.ran=1")()}}',
  '${window.ran=1}',
  '&lt;script&gt;window.ran=1&lt;/script&gt;',
  'null\0byte<b>',
  '\u202Eevil\u202C \u2067rtl\u2069 \u200Fmark',
  '__proto__',
  'constructor',
  'ＳＣＲＩＰＴ＜script＞',
];

test('no name is taken for markup', async () => {
  await feed(...corpus.map((s) => reading(s, `line ${s}`, 1, 0, `u${s}`)), ...corpus.map((s) => reading('corpus', s, 2, 0, s)));
  await until('all charts', async () => {
    const got = await titles();
    return corpus.every((s) => got.includes(s)) || corpus.filter((s) => !got.includes(s));
  });
  const keys = await card('corpus').locator('.legend .key').allTextContents();
  assert.deepEqual(keys.toSorted(), corpus.toSorted());
  const units = await card('corpus').locator('.legend .unit').allTextContents();
  assert.deepEqual(units.map((u) => u.trim()).toSorted(), corpus.map((u) => u.trim()).toSorted());
  await card('corpus').locator('summary').click();
  await card('corpus').locator('.values tbody tr').first().waitFor();
  await card('corpus').locator('.line', { has: page.getByText('<svg onload=window.ran=1>', { exact: true }) }).first().click();
  await menu('corpus');
  await page.keyboard.press('Escape');
  const { bytes } = await download('corpus', 'Save values in view');
  assert.match(bytes.toString('utf8'), /"""><script>/);
  const grown = page.locator('main').locator('script, img, iframe, math, a, style, [onload], [onerror], [onfocus], [onmouseover], [ontoggle]');
  assert.equal(await grown.count(), 0);
  assert.equal(await page.evaluate(() => window.ran), undefined);
});
