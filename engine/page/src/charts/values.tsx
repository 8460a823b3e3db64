import { useSignal } from '@preact/signals';
import { t } from '../i18n';
import { early, lazy } from '../lazy';
import type { Chart } from '../live/store';

const Table = lazy<{ chart: Chart }>(early(() => import('../values/table').then((m) => m.Table)));

/** The values of a chart as a table, built only while it is open. */
export function Values({ chart }: { chart: Chart }) {
  const open = useSignal(false);
  return (
    <details class="values" onToggle={(e) => (open.value = (e.currentTarget as HTMLDetailsElement).open)}>
      <summary>{t('table')}</summary>
      {open.value && (
        <div class="scroll" tabIndex={0} role="region" aria-label={`${chart.title}: ${t('table')}`}>
          <Table chart={chart} />
        </div>
      )}
    </details>
  );
}
