import { zone, zoneName } from '../format';
import { announce } from '../frame/announce';
import { change, theme, themes } from '../frame/layout';
import { zones } from './zones';
import { t } from './words';

function after<T>(list: readonly T[], item: T): T {
  return list[(list.indexOf(item) + 1) % list.length] as T;
}

/** Changes to the next theme. */
export function nextTheme(): void {
  change('theme', after(themes, theme.value));
  announce(`${t('theme')}: ${t(theme.value)}`);
}

/** Changes to the next time zone. */
export function nextZone(): void {
  change('tz', after(zones(), zone.value));
  announce(`${t('zone')}: ${t(zone.value)} (${zoneName()})`);
}
