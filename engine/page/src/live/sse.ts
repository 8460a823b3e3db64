/** One server-sent event. */
export interface ServerEvent {
  name: string;
  id: string;
  data: string;
}

/**
 * Reads server-sent events from text that comes in pieces, cut anywhere. Only what
 * Millrace sends is understood: event, id and data, lines ended by \n or \r\n.
 */
export class EventParser {
  private rest = '';
  private name = '';
  private id = '';
  private data: string[] = [];

  constructor(private readonly emit: (e: ServerEvent) => void) {}

  push(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) this.line(line.endsWith('\r') ? line.slice(0, -1) : line);
  }

  private line(line: string): void {
    if (line === '') {
      this.dispatch();
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'event') this.name = value;
    else if (field === 'id') this.id = value;
    else if (field === 'data') this.data.push(value);
  }

  private dispatch(): void {
    if (this.data.length) this.emit({ name: this.name || 'message', id: this.id, data: this.data.join('\n') });
    this.name = '';
    this.id = '';
    this.data = [];
  }
}
