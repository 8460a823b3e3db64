// The page in a headless browser while readings stream in: it notes when the points of one
// chart came and were drawn. It prints "ready" once the page is live, and when its standard
// input ends, what it has noted: a point's value, when it came, and when the frame that
// shows it was over, ms.
import { open, patience } from '../page/e2e/browser.mjs';

// In the page, before its own code: what JSON.parse brings is not drawn yet; when a canvas
// of the chart is cleared or stroked, everything that came is drawn into it; and when the
// next frame begins, the one with the drawing is over. Nothing of the page is changed by it.
function observe(chart) {
  const noted = (window.noted = []);
  let come = [];
  const { parse } = JSON;
  JSON.parse = (...args) => {
    const data = parse(...args);
    if (Array.isArray(data?.series) && data.series[0]?.v) {
      const now = Date.now();
      for (const s of data.series) for (const v of s.v) come.push([v, now]);
    }
    return data;
  };
  for (const name of ['clearRect', 'stroke']) {
    const draw = CanvasRenderingContext2D.prototype[name];
    CanvasRenderingContext2D.prototype[name] = function (...args) {
      if (come.length && this.canvas.closest('.card')?.dataset.chart === chart) {
        const drawn = come;
        come = [];
        requestAnimationFrame(() => {
          const now = Date.now();
          for (const [v, came] of drawn) noted.push([v, came, now]);
        });
      }
      return draw.apply(this, args);
    };
  }
}

const page = await open('pixels');
await page.addInitScript(observe, process.env.CHART);
await page.reload();
await page.locator('.chip[data-state=live]').waitFor({ timeout: patience });
console.log('ready');
process.stdin.resume();
await new Promise((done) => process.stdin.on('end', done));
console.log(JSON.stringify(await page.evaluate(() => window.noted)));
await page.context().close();
