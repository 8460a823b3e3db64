import { texts } from '../i18n';

export const en = {
  time: 'Time',
  series: 'Series',
  value: 'Value',
  unit: 'Unit',
  newestFirst: 'the newest {n}, newest first',
};

export const ko: typeof en = {
  time: '시각',
  series: '계열',
  value: '값',
  unit: '단위',
  newestFirst: '최근 {n}개, 최신순',
};

/** The texts of a chart's table. */
export const t = texts(en, ko);
