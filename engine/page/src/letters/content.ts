/** The bytes of base64. */
export function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
}

const hex = (n: number, digits: number): string => n.toString(16).padStart(digits, '0');

/** Lines of 16 bytes each: offset, bytes in hex, and what of them is ASCII. */
export function hexDump(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = [...bytes.subarray(at, at + 16)];
    const cells = row.map((b) => hex(b, 2));
    const left = cells.slice(0, 8).join(' ').padEnd(23);
    const right = cells.slice(8).join(' ').padEnd(23);
    const text = row.map((b) => (b >= 0x20 && b < 0x7f ? String.fromCharCode(b) : '.')).join('');
    lines.push(`${hex(at, 8)}  ${left}  ${right}  |${text}|`);
  }
  return lines.join('\n');
}

const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * JSON with its members on lines of their own. Tokens stay as they are written, so that
 * numbers keep all their digits. Returns undefined for what is no JSON.
 */
export function pretty(text: string): string | undefined {
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  const out: string[] = [];
  let depth = 0;
  const line = (): string => `\n${'  '.repeat(depth)}`;
  let opened = false;
  for (const [part] of text.matchAll(token)) {
    const closes = part === '}' || part === ']';
    if (closes) depth--;
    if (closes ? !opened : opened) out.push(line());
    opened = part === '{' || part === '[';
    if (opened) depth++;
    out.push(part === ':' ? ': ' : part);
    if (part === ',') out.push(line());
  }
  return out.join('');
}

/** The members of an object in JSON, each value as it is written. */
export function members(text: string): Map<string, string> {
  const out = new Map<string, string>();
  let depth = 0;
  let name: string | undefined;
  let begin = 0;
  let before = '';
  for (const m of text.matchAll(token)) {
    const part = m[0];
    if (part === '}' || part === ']') depth--;
    if (depth === 1 && part === ':' && name === undefined) {
      name = JSON.parse(before);
      begin = m.index + 1;
    } else if (name !== undefined && (depth === 0 || (depth === 1 && part === ','))) {
      out.set(name, text.slice(begin, m.index).trim());
      name = undefined;
    }
    if (part === '{' || part === '[') depth++;
    before = part;
  }
  return out;
}

/** A number of bytes for people, such as 20.0 MiB. */
export function bytes(n: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i ? n.toFixed(1) : n} ${units[i]}`;
}

/** name@version#hash of a plugin in its parts. */
export function pluginParts(ref: string): { name: string; version: string; hash: string } {
  const m = /^(.*?)(?:@([^#]*))?(?:#(.*))?$/s.exec(ref);
  return { name: m?.[1] ?? ref, version: m?.[2] ?? '', hash: m?.[3] ?? '' };
}
