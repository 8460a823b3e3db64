import { signal } from '@preact/signals';

/** The views of the page, in the order of its navigation. */
export const views = ['charts', 'graph', 'letters'] as const;
export type View = (typeof views)[number];

/** What the part of the address behind # says: a view and its settings. */
export interface Route {
  view: View;
  settings: URLSearchParams;
}

/** Reads #view?name=value; what is not known is the charts. */
export function parseRoute(hash: string): Route {
  const [name, query] = hash.replace(/^#\/?/, '').split('?', 2);
  return { view: views.find((v) => v === name) ?? 'charts', settings: new URLSearchParams(query) };
}

/** The address of a view with its settings. */
export function addressOf(view: View, settings: URLSearchParams = new URLSearchParams()): string {
  const query = settings.toString();
  return query ? `#${view}?${query}` : `#${view}`;
}

export const route = signal<Route>({ view: 'charts', settings: new URLSearchParams() });

/** Sets settings of the view that is shown, without a step back in the browser's history. */
export function keep(values: Record<string, string | undefined>): void {
  const settings = new URLSearchParams(route.value.settings);
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) settings.delete(name);
    else settings.set(name, value);
  }
  history.replaceState(null, '', addressOf(route.value.view, settings));
  route.value = { view: route.value.view, settings };
}

/** Keeps route at what the address says. */
export function followAddress(): void {
  const read = (): void => void (route.value = parseRoute(location.hash));
  addEventListener('hashchange', read);
  read();
}
