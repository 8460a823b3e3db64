import { expect, it } from 'vitest';
import { EventParser, type ServerEvent } from './sse';

const text = 'event: hello\ndata: {"a":1}\n\n: comment\nevent: frame\nid: 1.x\ndata: one\ndata: two\n\nevent: bare\n\ndata:x\r\n\r\n';
const want: ServerEvent[] = [
  { name: 'hello', id: '', data: '{"a":1}' },
  { name: 'frame', id: '1.x', data: 'one\ntwo' },
  { name: 'message', id: '', data: 'x' },
];

it('reads the same events however the text is cut', () => {
  for (let cut = 0; cut <= text.length; cut++) {
    const got: ServerEvent[] = [];
    const p = new EventParser((e) => got.push(e));
    p.push(text.slice(0, cut));
    p.push(text.slice(cut));
    expect(got).toEqual(want);
  }
});

it('does not emit an event that has no end', () => {
  const got: ServerEvent[] = [];
  new EventParser((e) => got.push(e)).push('event: frame\nid: 2\ndata: half\n');
  expect(got).toEqual([]);
});
