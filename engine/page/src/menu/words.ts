import { texts } from '../i18n';

export const en = {
  size: 'Size',
  small: 'Small',
  wide: 'Wide',
  tall: 'Tall',
  full: 'Full width',
  earlier: 'Move up',
  later: 'Move down',
  picture: 'Save as picture (PNG)',
  values: 'Save values in view (CSV)',
  hide: 'Hide this chart',
};

export const ko: typeof en = {
  size: '크기',
  small: '작게',
  wide: '넓게',
  tall: '높게',
  full: '전체 너비',
  earlier: '위로 이동',
  later: '아래로 이동',
  picture: '그림으로 저장 (PNG)',
  values: '표시된 값 저장 (CSV)',
  hide: '이 차트 숨기기',
};

/** The texts of a chart's menu. */
export const t = texts(en, ko);
