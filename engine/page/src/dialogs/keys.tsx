import { shortcuts } from '../frame/shortcuts';
import { Frame } from './frame';
import { t } from './words';

const written: Record<string, () => string> = { ' ': () => t('space'), Escape: () => 'Esc' };

/** All keys of the page. */
export function Keys() {
  return (
    <Frame title={t('keysTitle')}>
      <dl>
        {shortcuts.map((s) => (
          <div key={s.key}>
            <dt>
              <kbd>{written[s.key]?.() ?? s.key}</kbd>
            </dt>
            <dd>{t(s.text)}</dd>
          </div>
        ))}
      </dl>
      <p>{t('cards')}</p>
      <p>{t('typing')}</p>
    </Frame>
  );
}
