// Scenarios of how charts draw and are handled: kinds, limits, marks, pausing, zooming, and how fast.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { control, feed, open, patience, problems, reading, SCREENSHOTS, until, violations } from './browser.mjs';

let page;
let fed; // when the first values were fed, ms
const card = (metric) => page.locator(`.card[data-chart="live/${metric}"]`);
const plot = (metric) => card(metric).locator('.plot');

// Pixels of a chart of about the given colour, as runs of rows by column: [x, top, bottom, number].
// What shows through a colour does not count.
const columns = (metric, color) =>
  card(metric).locator('canvas').evaluate((c, [r, g, b]) => {
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    const found = new Map();
    for (let i = 0; i < d.length; i += 4) {
      if (d[i + 3] < 90 || Math.abs(d[i] - r) + Math.abs(d[i + 1] - g) + Math.abs(d[i + 2] - b) > 60) continue;
      const [x, y] = [(i / 4) % c.width, Math.floor(i / 4 / c.width)];
      const at = found.get(x) ?? [x, y, y, 0];
      found.set(x, [x, at[1], y, at[3] + 1]);
    }
    return [...found.values()].sort((a, b) => a[0] - b[0]);
  }, color);

const blue = [0, 114, 178];
const vermilion = [213, 94, 0];
const green = [0, 158, 115];
const red = [179, 38, 30];

const screenshot = (name) => SCREENSHOTS && page.screenshot({ path: join(SCREENSHOTS, `plots-${name}.png`), fullPage: true });

// What the select of the time shown says, ms; 0 is all.
const range = async () => Number(await page.getByLabel('Time shown').inputValue());

// The centre of a chart's plot, scrolled into sight, and its size.
async function place(metric) {
  await plot(metric).scrollIntoViewIfNeeded();
  const b = await card(metric).locator('.u-over').boundingBox();
  return { ...b, cx: b.x + b.width / 2, cy: b.y + b.height / 2 };
}

before(async () => {
  page = await open('plots', { viewport: { width: 1280, height: 1200 } });
  const points = [];
  for (let i = 0; i < 60; i++) {
    const ago = (60 - i) * 1000;
    points.push(reading('stair', 'valve', i < 30 ? 10 : 20, ago));
    points.push(reading('kwh', 'meter', 5 + (i % 10), ago, 'kWh'));
    points.push(reading('tank', 'level', 50 + i, ago, '%'));
    points.push(reading('oven', 'zone-1', 20 + i * 1.2, ago), reading('oven', 'zone-2', 55, ago));
    points.push(reading('rows', 'pump-1', i, ago, 'bar'), reading('rows', 'pump-2', 85, ago, 'bar'));
    points.push(reading('gauge', 'core', 35 + i, ago), reading('gauge', 'shell', 50, ago));
  }
  points.push(reading('mode', 'press-1', 0, 60_000), reading('mode', 'press-1', 1, 40_000), reading('mode', 'press-1', 2, 15_000));
  points.push(reading('mode', 'press-2', 1, 60_000));
  fed = Date.now();
  await feed(...points);
  await page.locator('.time-controls').waitFor();
  await card('tank').waitFor();
  await card('mode').getByText('press-2').first().waitFor();
  await page.getByRole('button', { name: 'Pause' }).click(); // the pictures stand still
});
after(async () => {
  await page.context().close();
});
afterEach(() => {
  assert.deepEqual(problems.splice(0), []);
});

test('a step is two levels and one edge', async () => {
  await place('stair');
  await until('drawn', async () => {
    const got = await columns('stair', blue);
    const levels = new Set(got.filter(([, top, bottom]) => bottom - top < 4).map(([, top]) => Math.round(top / 4)));
    const edges = got.filter(([, top, bottom]) => bottom - top > 30).length;
    return (levels.size === 2 && edges >= 1 && edges <= 4) || { levels: [...levels], edges };
  });
});

test('bars stand on zero, with gaps between', async () => {
  await place('kwh');
  await until('drawn', async () => {
    const got = await columns('kwh', blue);
    const base = Math.max(...got.map(([, , bottom]) => bottom));
    const solid = got.filter(([, top, bottom, n]) => base - bottom <= 2 && n > (bottom - top) * 0.9);
    const gaps = got.filter(([x], i) => i > 0 && x - got[i - 1][0] > 1).length;
    return (solid.length > got.length * 0.9 && gaps > 3) || { columns: got.length, solid: solid.length, gaps };
  });
});

test('an alarm threshold crosses the whole plot', async () => {
  await place('oven');
  await until('drawn', async () => {
    const got = await columns('oven', red);
    const { width } = await card('oven').locator('canvas').evaluate((c) => ({ width: c.width }));
    const rows = new Map();
    for (const [, top, bottom] of got) for (const y of [top, bottom]) rows.set(y, (rows.get(y) ?? 0) + 1);
    return Math.max(...rows.values()) > width * 0.5 || { width, most: Math.max(...rows.values()) };
  });
  await until('limits in words', async () => /Alarm too hot \(≥ 90\)/.test(await plot('oven').getAttribute('aria-description')) || 'no');
});

test('states are rows, named by their bands', async () => {
  await place('mode');
  await until('three states in two rows', async () => {
    const [idle, running, fault] = await Promise.all([blue, vermilion, green].map((c) => columns('mode', c)));
    const rows = [idle, running, fault].map((all) => all[1]?.[1]); // where each begins
    const wide = idle.length > 15 && running.length > idle.length && fault.length > 15;
    return (wide && Math.abs(rows[0] - rows[2]) < 4 && rows[1] - rows[0] > 20) || { rows, lengths: [idle, running, fault].map((a) => a.length) };
  });
});

test('values are tiles with a word for what is wrong, tables are rows', async () => {
  const hot = card('gauge').locator('.tile', { hasText: 'core' });
  await hot.getByText('Alarm', { exact: false }).first().waitFor();
  assert.match(await hot.textContent(), /94.*C.*Alarm.*too hot.*Min \d+ · Max 94/s);
  assert.doesNotMatch(await card('gauge').locator('.tile', { hasText: 'shell' }).textContent(), /Alarm|Warning/);
  await card('gauge').getByRole('heading', { name: 'Boiler' }).waitFor();
  const row = card('rows').getByRole('row', { name: 'pump-2' });
  await row.getByText('Warning').waitFor();
});

test('marks have symbols on every chart, text when focused, and a list', async () => {
  for (const [id, kind] of ['start', 'reload', 'replay', 'plugin', 'eclipse'].entries()) {
    await control('/tell?event=mark', { id: String(id), time: fed - 50_000 + id * 8000, kind, text: `text of ${kind}` });
    await page.locator(`.card[data-chart="live/stair"] .mark-${kind === 'eclipse' ? 'other' : kind}`).waitFor({ state: 'attached' });
  }
  assert.equal(await card('kwh').locator('.flag').count(), 5);
  await card('oven').locator('.flag.mark-alarm').first().waitFor({ state: 'attached' });
  const shapes = await card('oven').locator('.flag > i').evaluateAll((all) => all.map((i) => {
    const s = getComputedStyle(i);
    return [s.clipPath, s.borderRadius, s.width].join();
  }));
  assert.equal(new Set(shapes).size, shapes.length, shapes.join('\n'));
  await plot('stair').focus();
  await page.keyboard.press('m');
  await card('stair').getByText('text of start').waitFor();
  await page.getByRole('button', { name: 'Events' }).click();
  const list = page.locator('.events li');
  await list.filter({ hasText: 'oven · zone-1' }).filter({ hasText: 'Alarm' }).waitFor();
  assert.equal(await list.filter({ hasText: 'text of' }).count(), 5);
  await screenshot('marks');
  await list.filter({ hasText: 'text of plugin' }).getByRole('button').click();
  await page.getByText('behind now').waitFor();
  await page.keyboard.press('Escape');
  await page.getByText('behind now').waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Events' }).click();
});

test('a pause holds the view, loses nothing, and ends at now', async () => {
  await page.locator('h1').click(); // nothing has the focus
  await page.keyboard.press('Space');
  await page.getByText('behind now').waitFor();
  const last = () => card('stair').locator('.legend tbody td.last').textContent();
  assert.equal(await last(), '20');
  await feed(reading('stair', 'valve', 15));
  await card('stair').locator('summary').click();
  await card('stair').locator('.values tbody').getByText('15', { exact: true }).waitFor(); // it was received
  assert.equal(await last(), '20'); // and is not yet shown
  await card('stair').locator('summary').click();
  await screenshot('paused');
  await page.getByRole('button', { name: 'Resume' }).click();
  await until('the newest value', async () => (await last()) === '15' || (await last()));
});

test('a drag zooms all charts, double click and Escape reset', async () => {
  const { x, y, width, cy } = await place('stair');
  await page.mouse.move(x + width * 0.5, cy);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.6, cy);
  await page.mouse.move(x + width * 0.75, cy);
  await card('stair').locator('.selection:not([hidden])').waitFor();
  await page.mouse.up();
  await page.getByRole('button', { name: 'Reset zoom' }).waitFor();
  const zoomed = await range();
  assert.ok(zoomed >= 5000 && zoomed < 60_000, `${zoomed} ms`);
  const narrow = await plot('oven').getAttribute('aria-label');
  await page.keyboard.press('Escape');
  await until('all again', async () => (await range()) === 0 || (await range()));
  await until('the other charts, too', async () => (await plot('oven').getAttribute('aria-label')) !== narrow || narrow);
  await page.mouse.move(x + width * 0.5, cy);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.7, cy, { steps: 3 });
  await page.mouse.up();
  await page.getByRole('button', { name: 'Reset zoom' }).waitFor();
  await page.mouse.dblclick(x + width * 0.5, y + 20);
  await page.getByRole('button', { name: 'Reset zoom' }).waitFor({ state: 'detached' });
  assert.equal(await range(), 0);
});

test('wheels zoom with Ctrl, keys zoom and move, Shift and drag moves', async () => {
  const { x, width, cx, cy } = await place('stair');
  await page.mouse.move(cx, cy);
  await page.keyboard.down('Control');
  await page.mouse.wheel(0, -300);
  await page.keyboard.up('Control');
  await until('zoomed', async () => (await range()) > 0 || 0);
  const before = await range();
  await page.keyboard.press('-');
  await until('zoomed out', async () => (await range()) > before || before);
  assert.equal(await page.getByText('behind now').count(), 0); // zooming alone does not pause
  await page.keyboard.press('ArrowLeft');
  await page.getByText('behind now').waitFor();
  await page.keyboard.press('Escape');
  await page.getByText('behind now').waitFor({ state: 'detached' });
  await page.keyboard.down('Shift');
  await page.mouse.move(x + width * 0.3, cy);
  await page.mouse.down();
  await page.mouse.move(x + width * 0.6, cy, { steps: 4 });
  await page.mouse.up();
  await page.keyboard.up('Shift');
  await page.getByText('behind now').waitFor();
  assert.equal(await range(), 0); // moved, not zoomed
  await page.keyboard.press('Escape');
});

test('the pointer is at the same time on all charts', async () => {
  const { x, width, cy } = await place('stair');
  await page.mouse.move(x + width * 0.8, cy);
  const head = (metric) => card(metric).locator('.legend thead th').nth(1).textContent();
  await until('times in two legends', async () => {
    const [a, b] = [await head('stair'), await head('oven')];
    return (/^\d\d:\d\d:\d\d$/.test(a) && a === b) || [a, b];
  });
  await page.mouse.move(0, 0);
});

test('dense lines become a band when asked', async () => {
  const points = [];
  for (let i = 0; i < 2000; i++) points.push(reading('dense', 'm', (i % 2) * 50 + 25, (2000 - i) * 20));
  await feed(...points);
  await place('dense');
  const tall = async () => (await columns('dense', blue)).filter(([, top, bottom, n]) => bottom - top > 40 && n > 40).length;
  await until('drawn dense', async () => (await tall()) > 50 || (await tall()));
  await page.getByRole('button', { name: 'Min–max band' }).click();
  await until('a mean', async () => (await tall()) < 10 || (await tall()));
  await screenshot('envelope');
  await page.getByRole('button', { name: 'Min–max band' }).click();
});

test('no violations of accessibility rules, in light and dark', async () => {
  await page.getByRole('button', { name: 'Events' }).click();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: 'Pause' }).click();
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme });
    await until('restyled', async () => (await page.evaluate(() => matchMedia('(prefers-color-scheme: dark)').matches)) === (colorScheme === 'dark') || 'no');
    assert.deepEqual(await violations(page), [], colorScheme);
    await screenshot(colorScheme);
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.getByRole('button', { name: 'Resume' }).click();
});

test('on a phone a finger moves the view, and nothing scrolls sideways', async () => {
  const first = page;
  page = await open('touch', { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, locale: 'ko-KR' });
  await page.locator('.time-controls').waitFor();
  const touch = await page.context().newCDPSession(page);
  const at = (type, x, y) => touch.send('Input.dispatchTouchEvent', { type, touchPoints: x === undefined ? [] : [{ x, y }] });
  await until('moved by a finger', async () => { // again, should charts above have come under it
    const { x, width, cy } = await place('stair');
    await at('touchStart', x + width * 0.3, cy);
    for (const share of [0.4, 0.5, 0.6]) await at('touchMove', x + width * share, cy);
    await at('touchEnd');
    return (await page.getByText('현재보다').isVisible()) || 'not yet';
  });
  await screenshot('phone');
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await page.context().close();
  page = first;
  assert.equal(wide, 0);
});

// Notes each drawing of the canvas: the new ends of lines alone, or all of it, and then
// how many pixels look otherwise than just before, moved by up to a pixel of time.
function watchDrawings(canvas) {
  const [ctx, all] = [canvas.getContext('2d'), CanvasRenderingContext2D.prototype];
  const [left, right] = [60, 20]; // px that are no lines, or come and go at the edges
  const [width, height] = [canvas.width - left - right, canvas.height - 50];
  const image = () => ctx.getImageData(left, 10, width, height).data;
  const differing = (a, b, shift) => {
    let n = 0;
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width - 1; x++) {
        const at = (y * width + x) * 4 + 3;
        if (Math.abs(a[at + 4 * shift] - b[at]) > 96) n++;
      }
    }
    return n;
  };
  const drawings = (window.drawings = []);
  let whole = false;
  let last = image();
  ctx.clearRect = function (...args) {
    const was = image();
    const grown = differing(last, was, 0);
    whole = true;
    all.clearRect.apply(this, args);
    queueMicrotask(() => {
      whole = false;
      last = image();
      drawings.push({ grown, differ: Math.min(differing(was, last, 0), differing(was, last, 1)) });
    });
  };
  ctx.stroke = function (...args) {
    if (!whole) drawings.push('ends');
    all.stroke.apply(this, args);
  };
}

test('what comes behind the ends of lines is drawn at once, as all of it would be', async () => {
  // From 0 to 20 and back, again and again: the range of the axis stays.
  const at = (i) => ['a', 'b', 'c'].map((key, n) => reading('ends', key, Math.abs(((i + 200 + 9 * n) % 40) - 20), 200_000 - i * 2000));
  for (let i = -200; i < 0; i++) await feed(...at(i));
  await page.getByLabel('Filter charts').fill('ends');
  await until('ten minutes', async () => /10 min/.test(await plot('ends').getAttribute('aria-label')) || plot('ends').getAttribute('aria-label'));
  await card('ends').locator('canvas').evaluate(watchDrawings);
  for (let i = 0; i < 90; i++) {
    await feed(...at(i));
    await new Promise((done) => setTimeout(done, 30));
  }
  // What came last may be drawn with all; a drawing of all then differs by that.
  await until('ends that look as all does', async () => {
    const drawings = await page.evaluate(() => window.drawings);
    const wholes = drawings.filter((d) => d !== 'ends');
    const alike = wholes.some(({ grown, differ }) => grown > 200 && differ < grown / 5);
    return (drawings.length - wholes.length > 30 && alike) || { ends: drawings.length - wholes.length, wholes };
  });
  await page.getByLabel('Filter charts').fill('');
});

test('eight charts of four lines of 1,200 points move', async (t) => {
  const lines = Array.from({ length: 32 }, (_, i) => [`speed-${i % 8}`, `line-${i >> 3}`]);
  const wave = (i, n) => Math.sin(i / 30 + n) * 10 + n;
  for (const [n, [metric, device]] of lines.entries()) {
    await feed(...Array.from({ length: 1200 }, (_, i) => reading(metric, device, wave(i, n), (1200 - i) * 500)));
  }
  await page.getByLabel('Filter charts').fill('speed-');
  await until('eight charts', async () => (await page.locator('.card').count()) === 8 || 'fewer');
  await page.setViewportSize({ width: 1600, height: 1200 });
  await page.evaluate(() => scrollTo(0, 0));
  let going = true;
  const feeding = (async () => {
    for (let i = 0; going; i++) {
      await feed(...lines.map(([metric, device], n) => reading(metric, device, wave(1200 + i, n))));
      await new Promise((done) => setTimeout(done, 100)); // ten values a second and line
    }
  })();
  const measure = () => page.evaluate(() => new Promise((done) => {
    const clear = CanvasRenderingContext2D.prototype.clearRect;
    let wholes = 0;
    CanvasRenderingContext2D.prototype.clearRect = function (...a) {
      wholes++;
      return clear.apply(this, a);
    };
    const shots = () => [...document.querySelectorAll('.card canvas')].map((c) => c.getContext('2d').getImageData(c.width - 40, 20, 8, c.height - 60).data.join());
    const begun = performance.now();
    const before = shots();
    let frames = 0;
    const next = (now) => {
      frames++;
      if (now - begun < 3000) return requestAnimationFrame(next);
      CanvasRenderingContext2D.prototype.clearRect = clear;
      done({ fps: (frames * 1000) / (now - begun), each: (wholes * 1000) / (now - begun) / 8, moved: shots().filter((s, i) => s !== before[i]).length });
    };
    requestAnimationFrame(next);
  }));
  let measured;
  await until('more than five frames per second, and all charts move', async () => {
    measured = await measure();
    return (measured.fps > 5 && measured.moved === 8) || measured;
  });
  going = false;
  await feeding;
  t.diagnostic(`8 charts × 4 lines × 1,200 points: ${measured.fps.toFixed(1)} frames per second, each chart drawn as a whole ${measured.each.toFixed(1)} times`);
  await screenshot('speed');
});
