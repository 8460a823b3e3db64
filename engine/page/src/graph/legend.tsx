import { pressures, waitingFrom, type Pressure } from './model';
import { t } from './words';

/** What colours and patterns mean. It also holds the patterns that the drawing uses. */
export function Legend() {
  return (
    <>
      <Patterns />
      <ul class="g-legend" aria-label={t('legend')}>
        {pressures.filter((p) => p !== 'unknown').map((p) => (
          <li key={p} data-pressure={p}>
            <svg width="46" height="14" aria-hidden="true" class="g-sample">
              <rect class="stripe" x="1" y="1" width="8" height="12" rx="2" />
              <path class="line" d="M14 7H45" />
            </svg>
            <b class="state">{t(p)}</b> {t(`${p}Text` as `${Pressure}Text`, { n: waitingFrom })}
          </li>
        ))}
        <li>
          <svg width="32" height="14" aria-hidden="true" class="g-sample">
            <path class="thin" d="M1 7H31" />
          </svg>
          {t('directText')}
        </li>
      </ul>
    </>
  );
}

function Patterns() {
  return (
    <svg width="0" height="0" aria-hidden="true" class="g-patterns">
      <defs>
        <pattern id="g-waiting" width="6" height="6" patternUnits="userSpaceOnUse"><path class="p-waiting" d="M0 1.500H6" /></pattern>
        <pattern id="g-held" width="6" height="6" patternUnits="userSpaceOnUse"><path class="p-held" d="M-1 5L5 -1M1 7L7 1" /></pattern>
        <pattern id="g-full" width="4" height="4" patternUnits="userSpaceOnUse"><path class="p-full" d="M0 1H2M2 3H4" /></pattern>
      </defs>
    </svg>
  );
}
