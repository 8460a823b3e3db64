import { graph } from '../live/topics';
import { t } from './words';

/** The pipeline's nodes. */
export function GraphView() {
  const g = graph.value;
  if (!g) return <p class="empty">{t('nothing')}</p>;
  return (
    <section aria-label={t('nodes')}>
      <ul>
        {g.nodes.map((n) => (
          <li key={n.id}>
            {n.id} ({n.type})
          </li>
        ))}
      </ul>
    </section>
  );
}
