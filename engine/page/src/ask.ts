/** An answer of the engine that is no success, with its text for people. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    text: string,
    readonly retryAfter = 0, // s; 0 if the answer does not say
  ) {
    super(text);
  }
}

/** What is asked for beside the path; POST asks for a change. */
export interface Asked {
  method?: 'GET' | 'POST';
  body?: unknown;
  signal?: AbortSignal;
}

/**
 * Asks the engine's HTTP API, such as ask('api/v1/dlq?limit=10'), and returns its
 * JSON. Rejects with [Refused] or, if the engine cannot be reached, with a TypeError.
 */
export async function ask<T>(path: string, options: Asked = {}): Promise<T> {
  return (await (await reach(path, options)).json()) as T;
}

/** As [ask], and returns the answer itself, for what is no JSON or is read piece by piece. */
export async function reach(path: string, options: Asked = {}): Promise<Response> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  const init: RequestInit = { method: options.method ?? 'GET', headers, cache: 'no-store' };
  if (options.signal) init.signal = options.signal;
  if (init.method === 'POST') headers['X-Millrace'] = 'page'; // no other origin can send it
  if (options.body !== undefined) {
    headers['Content-Type'] = 'application/json';
    init.body = JSON.stringify(options.body);
  }
  const answer = await fetch(path, init);
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

/** What an answer that is no success says. */
export async function refusal(answer: Response): Promise<Refused> {
  const text = reason(await answer.text()) || answer.statusText;
  return new Refused(answer.status, text, Number(answer.headers.get('Retry-After')) || 0);
}

/** The reason in the body of a refusal: {"error": text}, or plain text. */
function reason(body: string): string {
  try {
    return String(JSON.parse(body).error ?? body);
  } catch {
    return body.trim();
  }
}
