import { texts } from '../i18n';

export const en = {
  nothing: 'The engine has not told its graph yet.',
  nodes: 'Nodes',
};

export const ko: typeof en = {
  nothing: '엔진이 아직 그래프를 알려 주지 않았습니다.',
  nodes: '노드',
};

/** The texts of the graph view. */
export const t = texts(en, ko);
