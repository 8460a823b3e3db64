import { expect, it } from 'vitest';
import { LiveStream, silence, type Surroundings } from './stream';

/** A world in which the test decides what the server answers and when time passes. */
class World {
  asked: { url: string; lastId: string | undefined; signal: AbortSignal; send: (s: string) => void; end: () => void }[] = [];
  timers = new Map<number, { f: () => void; ms: number }>();
  states: string[] = [];
  events: string[] = [];
  refuse = false;
  answer: (() => Response) | undefined;
  query = '';
  private next = 1;

  readonly surroundings: Surroundings = {
    fetch: ((url: string, init: RequestInit) => this.fetch(url, init)) as typeof fetch,
    setTimeout: (f, ms) => {
      this.timers.set(this.next, { f, ms });
      return this.next++;
    },
    clearTimeout: (id) => void this.timers.delete(id as number),
    random: () => 0.5,
  };

  readonly stream = new LiveStream(
    () => 'url' + this.query,
    { event: (e) => this.events.push(e.data), state: (s, why) => this.states.push(why ? `${s} ${why.status} ${why.message}` : s) },
    this.surroundings,
  );

  private fetch(url: string, init: RequestInit): Promise<Response> {
    if (this.refuse) return Promise.reject(new TypeError('refused'));
    if (this.answer) return Promise.resolve(this.answer());
    let control: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (c) => void (control = c) });
    const signal = init.signal as AbortSignal;
    signal.addEventListener('abort', () => {
      try {
        control.error(new Error('aborted'));
      } catch {
        // it has ended already
      }
    });
    this.asked.push({
      url,
      lastId: (init.headers as Record<string, string>)['Last-Event-ID'],
      signal,
      send: (s) => control.enqueue(new TextEncoder().encode(s)),
      end: () => control.close(),
    });
    return Promise.resolve(new Response(body));
  }

  /** Runs the timers of at most ms and returns how long they were. */
  async pass(ms: number): Promise<number[]> {
    await settle();
    const due = [...this.timers].filter(([, t]) => t.ms <= ms);
    for (const [id, t] of due) {
      this.timers.delete(id);
      t.f();
    }
    await settle();
    return due.map(([, t]) => t.ms);
  }
}

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await new Promise((done) => setTimeout(done, 0));
};

it('comes back behind the last id that it has taken in', async () => {
  const w = new World();
  w.stream.start();
  await settle();
  w.asked[0]?.send('event: hello\ndata: {}\n\nevent: frame\nid: 1.a\ndata: one\n\nevent: frame\nid: 1.b\ndata: cut of');
  await settle();
  w.asked[0]?.end();
  await w.pass(1000);
  expect(w.asked.map((a) => a.lastId)).toEqual([undefined, '1.a']);
  expect(w.events).toEqual(['{}', 'one']);
  expect(w.states).toEqual(['connecting', 'live', 'reconnecting']);
  w.stream.stop();
});

it('waits longer from try to try, never above 1.25 s, and short again after a hello', async () => {
  const w = new World();
  w.refuse = true;
  w.stream.start();
  const waits: number[] = [];
  for (let i = 0; i < 6; i++) waits.push(...(await w.pass(2000)));
  expect(waits).toEqual([...waits].sort((a, b) => a - b));
  expect(Math.max(...waits)).toBeLessThanOrEqual(1250);
  w.refuse = false;
  await w.pass(2000);
  w.asked[0]?.send('event: hello\ndata: {}\n\n');
  await settle();
  w.asked[0]?.end();
  expect(await w.pass(2000)).toEqual([200]);
  w.stream.stop();
});

it('ends a connection that has gone silent', async () => {
  const w = new World();
  w.stream.start();
  await settle();
  w.asked[0]?.send('event: hello\ndata: {}\n\n');
  await w.pass(silence);
  expect(w.asked[0]?.signal.aborted).toBe(true);
  await w.pass(2000);
  expect(w.asked.length).toBe(2);
  w.stream.stop();
});

it('leaves nothing behind when it is stopped', async () => {
  const w = new World();
  w.stream.start();
  await settle();
  w.stream.stop();
  await settle();
  expect(w.timers.size).toBe(0);
  expect(w.asked.length).toBe(1);
});

it('asks another address at once and goes on behind the last id', async () => {
  const w = new World();
  w.stream.start();
  await settle();
  w.asked[0]?.send('event: hello\ndata: {}\n\nevent: frame\nid: 1.a\ndata: {}\n\n');
  await settle();
  w.query = '?sub=tap:rows';
  w.stream.renew();
  w.stream.renew();
  await settle();
  expect(w.asked.map((a) => a.url)).toEqual(['url', 'url?sub=tap:rows']);
  expect(w.asked[1]?.lastId).toBe('1.a');
  expect(w.states).toEqual(['connecting', 'live']);
  w.stream.stop();
});

it('tells why it is refused, and waits as it is asked to', async () => {
  const cases: [status: number, retryAfter: string | undefined, pause: number][] = [
    [503, '7', 7000],
    [503, '9999', 60_000],
    [503, 'soon', 200],
    [500, undefined, 200],
    [401, undefined, 60_000],
    [403, undefined, 60_000],
  ];
  for (const [status, retryAfter, pause] of cases) {
    const w = new World();
    w.answer = () => new Response('because', { status, headers: retryAfter ? { 'Retry-After': retryAfter } : {} });
    w.stream.start();
    expect(await w.pass(60_000)).toEqual([pause]);
    expect(w.states[1]).toBe(`refused ${status} because`);
    w.answer = undefined;
    w.refuse = true;
    await w.pass(60_000);
    expect(w.states.at(-1)).toBe('reconnecting');
    w.stream.stop();
  }
});
