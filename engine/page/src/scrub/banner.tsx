import { useEffect, useState } from 'preact/hooks';
import { held } from '../charts/time';
import { stamp } from '../format';
import { trouble } from './log';
import { back, source, waiting } from './player';
import { shown } from './rerun';
import { t } from './words';

/** The height of the page's header, below which the banner stays. */
function useHeader(): number {
  const [height, set] = useState(0);
  useEffect(() => {
    const bar = document.querySelector('.bar');
    if (!bar) return;
    const sized = new ResizeObserver(() => set(bar.getBoundingClientRect().height));
    sized.observe(bar);
    return () => sized.disconnect();
  }, []);
  return height;
}

/** Says once, for those who listen, that charts show the past, or are live again. */
export function Said({ past }: { past: boolean }) {
  const [before, set] = useState(false);
  useEffect(() => {
    if (past) set(true);
  }, [past]);
  return (
    <span class="unseen" role="status">
      {past ? t('said') : before ? t('saidLive') : ''}
    </span>
  );
}

/** Tells that charts show the past, while they do. */
export function Banner() {
  const top = useHeader();
  const from = source.value;
  const time = held.value === undefined ? '' : stamp(held.value).slice(0, 19);
  if (!from) return null;
  return (
    <section class="past" aria-label={t('region')} style={{ top: `${top}px` }}>
      <strong>{from.live ? t('banner', { time }) : t('bannerReplay', { time, name: shown.value?.name ?? '' })}</strong>
      {waiting.value && <span>{t('loading')}</span>}
      {from.live && trouble.value && <span role="alert">{t('trouble', { text: trouble.value })}</span>}
      <button type="button" onClick={back}>
        {t('back')}
      </button>
    </section>
  );
}
