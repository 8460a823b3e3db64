// A TrueType font in which every character is the same box, 0.6 em wide in a line of 1 em,
// so that no text is wider or higher on one machine than on another.

const words = (...list) => Buffer.from(list.flatMap((v) => [(v >> 8) & 255, v & 255]));
const longs = (...list) => words(...list.flatMap((v) => [v >>> 16, v & 0xffff]));
const zeros = (n) => Array(n).fill(0);

const box = Buffer.concat([
  words(1, 50, 0, 550, 700, 3, 0), // one contour, its bounds, its last point
  Buffer.from([1, 1, 1, 1]), // points on the curve
  words(50, 0, 500, 0, 0, 700, 0, -700), // steps in x, then in y
]);

// Tables by tag, in order, as the OpenType specification lays them out; units are 1/1000 em.
const tables = {
  'OS/2': words(4, 600, 400, 5, 0, ...zeros(8), 50, 300, ...zeros(16), 64, 32, 0xffff, 800, -200, 0, 800, 200, ...zeros(4), 500, 700, 0, 32, 0),
  cmap: Buffer.concat([words(0, 1, 3, 10, 0, 12, 13, 0), longs(28, 0, 1, 0x20, 0x10ffff, 1)]), // all to glyph 1
  glyf: box,
  head: words(1, 0, 1, 0, 0, 0, 0x5f0f, 0x3cf5, 0, 1000, ...zeros(8), 50, 0, 550, 700, 0, 8, 2, 0, 0),
  hhea: words(1, 0, 800, -200, 0, 600, 50, 50, 550, 1, ...zeros(7), 1),
  hmtx: words(600, 50, 50),
  loca: words(0, 0, box.length / 2), // glyph 0 is empty
  maxp: words(1, 0, 2, 4, 1, 0, 0, 2, ...zeros(8)),
  name: words(0, 0, 6),
  post: words(3, ...zeros(15)),
};

function assemble() {
  const entries = Object.entries(tables);
  let offset = 12 + 16 * entries.length;
  const [directory, data] = [[], []];
  for (const [tag, table] of entries) {
    directory.push(Buffer.from(tag), longs(0, offset, table.length));
    data.push(table, Buffer.alloc(-table.length & 3));
    offset += (table.length + 3) & ~3;
  }
  return Buffer.concat([longs(0x10000), words(entries.length, 128, 3, 32), ...directory, ...data]);
}

/** Draws all text of a page, but that on canvases, as boxes; hinting must not round their widths. */
export const boxes = `
@font-face { font-family: boxes; src: url(data:font/ttf;base64,${assemble().toString('base64')}); }
*, ::before, ::after { font-family: boxes !important; font-synthesis: none !important; text-rendering: geometricPrecision !important; }`;
