import { Refused, refusal } from '../ask';
import { EventParser, type ServerEvent } from './sse';

/** What the connection is doing. Refused: the engine answers, and says no. */
export type State = 'connecting' | 'live' | 'reconnecting' | 'refused';

/** What the connection needs of its surroundings; tests give their own. */
export interface Surroundings {
  fetch: typeof fetch;
  setTimeout: (f: () => void, ms: number) => unknown;
  clearTimeout: (id: unknown) => void;
  random: () => number;
}

export interface Handlers {
  event: (e: ServerEvent) => void;
  state: (s: State, why?: Refused) => void;
}

const firstPause = 200; // ms
const longestPause = 1000;
/** Pause after 400, 401 or 403: only someone's doing can change the answer. */
const deniedPause = 60_000;
const longestRetryAfter = 60_000;
/** Silence after which a connection counts as dead: two pings and a little. */
export const silence = 12_000;

/**
 * Keeps one stream of server-sent events alive: it reads with fetch, comes back
 * after every loss and goes on behind the last id it saw.
 */
export class LiveStream {
  private lastId = '';
  private pause = firstPause;
  private abort: AbortController | undefined;
  private timer: unknown;
  private watchdog: unknown;
  private stopped = false;
  private renewing = false;
  private refused: Refused | undefined;

  constructor(
    private readonly url: () => string,
    private readonly on: Handlers,
    private readonly with_: Surroundings = {
      fetch: (...a) => fetch(...a),
      setTimeout: (f, ms) => setTimeout(f, ms),
      clearTimeout: (id) => clearTimeout(id as number),
      random: Math.random,
    },
  ) {}

  start(): void {
    this.stopped = false;
    this.on.state('connecting');
    void this.connect();
  }

  stop(): void {
    this.stopped = true;
    this.with_.clearTimeout(this.timer);
    this.with_.clearTimeout(this.watchdog);
    this.abort?.abort();
  }

  /** Tries at once, if it waits for the next try. */
  retryNow(): void {
    if (this.stopped || this.abort) return;
    this.with_.clearTimeout(this.timer);
    void this.connect();
  }

  /** Asks anew, because the address has changed, and goes on where it was. */
  renew(): void {
    if (this.stopped || this.renewing) return;
    this.renewing = true;
    this.with_.clearTimeout(this.timer);
    if (this.abort) this.abort.abort();
    else void this.connect();
  }

  private async connect(): Promise<void> {
    const abort = new AbortController();
    this.abort = abort;
    this.refused = undefined;
    this.renewing = false;
    this.watch();
    try {
      await this.read(abort.signal);
    } catch (e) {
      // A lost connection is what this class is for.
      this.refused = e instanceof Refused ? e : undefined;
    }
    this.with_.clearTimeout(this.watchdog);
    this.abort = undefined;
    abort.abort();
    if (this.stopped) return;
    if (this.renewing) void this.connect();
    else this.again();
  }

  private async read(signal: AbortSignal): Promise<void> {
    const headers: Record<string, string> = { Accept: 'text/event-stream' };
    if (this.lastId) headers['Last-Event-ID'] = this.lastId;
    const answer = await this.with_.fetch(this.url(), { headers, signal, cache: 'no-store' });
    if (!answer.ok) throw await refusal(answer);
    if (!answer.body) throw new Error('no body');
    const parser = new EventParser((e) => this.take(e));
    const reader = answer.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      this.watch();
      parser.push(decoder.decode(value, { stream: true }));
    }
  }

  private take(e: ServerEvent): void {
    if (e.name === 'hello') {
      this.pause = firstPause;
      this.on.state('live');
    }
    this.on.event(e);
    if (e.id) this.lastId = e.id; // only once it has been taken in
  }

  private again(): void {
    if (this.refused) this.on.state('refused', this.refused);
    else this.on.state('reconnecting');
    const wait = Math.max(this.pause * (0.75 + this.with_.random() / 2), this.asked());
    this.pause = Math.min(this.pause * 1.7, longestPause);
    this.timer = this.with_.setTimeout(() => void this.connect(), wait);
  }

  /** How long a refusal asks to wait, ms. */
  private asked(): number {
    const { status = 0, retryAfter = 0 } = this.refused ?? {};
    if (retryAfter) return Math.min(retryAfter * 1000, longestRetryAfter);
    return status >= 400 && status < 404 ? deniedPause : 0;
  }

  /** Ends the connection if nothing comes for too long. */
  private watch(): void {
    this.with_.clearTimeout(this.watchdog);
    this.watchdog = this.with_.setTimeout(() => this.abort?.abort(), silence);
  }
}
