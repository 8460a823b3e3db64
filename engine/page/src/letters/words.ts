import { texts } from '../i18n';

export const en = {
  none: 'There are no dead letters.',
  reasons: 'Dead letters by reason',
};

export const ko: typeof en = {
  none: '배달하지 못한 메시지가 없습니다.',
  reasons: '이유별 배달하지 못한 메시지',
};

/** The texts of the view of dead letters. */
export const t = texts(en, ko);
