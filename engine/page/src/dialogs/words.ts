import { texts } from '../i18n';

const keysEn = {
  charts: 'Show the charts',
  graph: 'Show the graph',
  letters: 'Show the dead letters',
  toFilter: 'Go to the filter',
  pause: 'Hold the charts, or let them go on',
  nextTheme: 'Next theme',
  nextLanguage: 'Other language',
  nextZone: 'Next time zone',
  keys: 'Show these keys',
  close: 'Close what is open',
};

const keysKo: typeof keysEn = {
  charts: '차트 보기',
  graph: '그래프 보기',
  letters: '배달 못 한 메시지 보기',
  toFilter: '차트 찾기로 이동',
  pause: '차트 일시 정지 / 계속',
  nextTheme: '다음 테마',
  nextLanguage: '언어 전환',
  nextZone: '다음 시간대',
  keys: '단축키 보기',
  close: '열린 창 닫기',
};

/** What a key does. */
export type KeyText = keyof typeof keysEn;

export const en = {
  ...keysEn,
  keysTitle: 'Keys',
  typing: 'Keys do nothing while you type in a field.',
  cards: 'On a chart’s handle the arrow keys move the chart. Alt and a click on a line, or a double click, shows that line alone.',
  space: 'Space',
  settings: 'Settings',
  zone: 'Time zone',
  theme: 'Theme',
  auto: 'As the system',
  light: 'Light',
  dark: 'Dark',
  contrast: 'High contrast',
  local: 'This computer’s',
  utc: 'UTC',
  server: 'The server’s',
  language: 'Language',
  kept: 'Choices are kept in this browser and in the page’s address: a link to it shows the same layout.',
  reset: 'Reset everything',
  wasReset: 'All choices are back at their defaults.',
  done: 'Done',
};

export const ko: typeof en = {
  ...keysKo,
  keysTitle: '단축키',
  typing: '입력란에 글을 쓰는 동안에는 단축키가 작동하지 않습니다.',
  cards: '차트 손잡이에서 화살표 키를 누르면 차트가 이동합니다. Alt를 누른 채 선을 클릭하거나 두 번 클릭하면 그 선만 표시됩니다.',
  space: '스페이스',
  settings: '설정',
  zone: '시간대',
  theme: '테마',
  auto: '시스템 설정',
  light: '밝게',
  dark: '어둡게',
  contrast: '고대비',
  local: '이 컴퓨터 시간',
  utc: '협정 세계시 (UTC)',
  server: '서버 시간',
  language: '언어',
  kept: '설정은 이 브라우저와 페이지 주소에 저장됩니다. 주소를 공유하면 같은 배치로 보입니다.',
  reset: '모두 초기화',
  wasReset: '모든 설정을 기본값으로 되돌렸습니다.',
  done: '닫기',
};

/** The texts of the dialogs. */
export const t = texts(en, ko);
