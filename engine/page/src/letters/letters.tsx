import { count } from '../format';
import { letters } from '../live/topics';
import { t } from './words';

/** The dead letters by reason. */
export function LettersView() {
  const list = letters.value;
  if (!list?.total) return <p class="empty">{t('none')}</p>;
  return (
    <section aria-label={t('reasons')}>
      <ul>
        {list.reasons.map((r) => (
          <li key={`${r.node} ${r.class} ${r.code}`}>
            {r.node}: {r.code} × {count(r.count)}
          </li>
        ))}
      </ul>
    </section>
  );
}
