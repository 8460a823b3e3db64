import { signal } from '@preact/signals';
import { listen } from '../live/topics';
import { connection, want } from '../state';
import type { Tapped } from './diff';
import { final, probe } from './past';

/** What the engine tells of a tapped node (event `tap`). */
export interface Sample {
  node: string;
  passed: number; // frames
  read: number; // frames of them that were looked into
  events: Tapped[];
}

/** Events that a live tap keeps. */
export const kept = 200;

const lookEvery = 1000; // ms, whether a tap that does not come back may still be had

/** Live samples of one node's events. */
export class LiveTap {
  readonly state = signal<'off' | 'asking' | 'on' | 'refused'>('off');
  readonly status = signal(0); // of the refusal
  readonly events = signal<readonly Tapped[]>([]); // newest first
  readonly passed = signal(0);
  readonly read = signal(0);
  readonly frozen = signal(false);
  readonly missed = signal(0); // events that came while frozen

  private ends: (() => void)[] = [];

  constructor(readonly node: string) {}

  /** Begins, if the node may be tapped: a subscription that is refused would end the page's connection. */
  async start(): Promise<void> {
    this.stop();
    this.state.value = 'asking';
    const status = await probe(this.node);
    if (this.state.value !== 'asking') return;
    if (final(status)) return this.refuse(status);
    this.state.value = 'on';
    const timer = setInterval(() => void this.look(), lookEvery);
    this.ends = [listen('tap', (s) => this.take(s as Sample)), want(`tap:${this.node}`), () => clearInterval(timer)];
  }

  /** Ends; what has come stays. */
  stop(): void {
    for (const end of this.ends.splice(0)) end();
    this.state.value = 'off';
  }

  clear(): void {
    this.events.value = [];
    this.passed.value = this.read.value = this.missed.value = 0;
  }

  resume(): void {
    this.frozen.value = false;
    this.missed.value = 0;
  }

  take(s: Sample): void {
    if (s.node !== this.node) return;
    this.passed.value += s.passed;
    this.read.value += s.read;
    if (this.frozen.value) this.missed.value += s.events.length;
    else this.events.value = [...[...s.events].reverse(), ...this.events.value].slice(0, kept);
  }

  private refuse(status: number): void {
    this.stop();
    this.status.value = status;
    this.state.value = 'refused';
  }

  /** Ends if the engine came back and does not allow the tap any more, or has no such node. */
  private async look(): Promise<void> {
    if (connection.value === 'live') return;
    const status = await probe(this.node);
    if (this.state.value === 'on' && final(status)) this.refuse(status);
  }
}
