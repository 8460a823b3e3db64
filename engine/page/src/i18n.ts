import { signal } from '@preact/signals';

/** The texts of the page. Every dictionary has every key: the compiler sees to it. */
export const en = {
  connecting: 'Connecting',
  lagging: 'Lagging',
  refused: 'Refused',
  live: 'Live',
  reconnecting: 'Reconnecting',
  stale: 'Stale',
  stateLabel: 'Connection',
  lostTitle: 'The engine cannot be reached',
  lostText: 'What was received stays on the screen. The page comes back by itself as soon as the engine answers.',
  emptyTitle: 'Waiting for the first values',
  emptyText: 'The engine is running. A chart appears here as soon as the first value has passed through the pipeline.',
  embedded: 'Embedded mode: queues, log and database live in this process and are gone when it stops.',
  missed: '{n} values were skipped because this page could not keep up.',
  perSecond: '{n} values/s',
  table: 'Values',
  series: 'Series',
  last: 'Last',
  min: 'Min',
  max: 'Max',
  chartLabel: '{title}: {n} lines over the last {window}',
  noRecent: 'nothing new for {age}',
  filter: 'Filter charts',
  range: 'Time shown',
  rangeAuto: 'All',
  noMatch: 'No chart matches “{text}”.',
  language: '한국어',
  skip: 'Skip to the content',
  views: 'Views',
  charts: 'Charts',
  graph: 'Graph',
  letters: 'Dead letters',
  viewLoading: 'Loading this view…',
  viewFailed: 'This view could not be loaded.',
  again: 'Try again',
  settings: 'Settings',
  keys: 'Keys',
  zone: 'Time zone',
  only: 'Only this line',
  onlyLine: 'Only {line}',
  findLine: 'Find lines',
  noLine: 'No line matches “{text}”.',
  showAll: 'Show all ({n} hidden)',
  menu: 'Menu',
  menuOf: '{title}: menu',
  grip: 'Move {title}',
  gripHint: 'Drag, or press the arrow keys',
  moved: '{title}: place {place} of {of}',
  hiddenCharts: 'Hidden charts',
  showChart: 'Show {title}',
  seconds: '{n} s',
  minutes: '{n} min',
  hours: '{n} h',
};

export type Texts = typeof en;
export type Lang = 'en' | 'ko';

export const ko: Texts = {
  connecting: '연결 중',
  lagging: '지연',
  refused: '접속 거부',
  live: '실시간',
  reconnecting: '다시 연결 중',
  stale: '갱신 멈춤',
  stateLabel: '연결 상태',
  lostTitle: '엔진에 연결할 수 없습니다',
  lostText: '이미 받은 값은 화면에 그대로 남습니다. 엔진이 응답하면 자동으로 다시 연결됩니다.',
  emptyTitle: '첫 값을 기다리는 중',
  emptyText: '엔진이 실행 중입니다. 첫 값이 파이프라인을 통과하면 여기에 차트가 나타납니다.',
  embedded: '내장 모드: 큐, 로그, 데이터베이스가 이 프로세스 안에 있으며 종료하면 사라집니다.',
  missed: '화면이 따라가지 못해 값 {n}개를 건너뛰었습니다.',
  perSecond: '초당 {n}개',
  table: '값 표',
  series: '계열',
  last: '최근',
  min: '최소',
  max: '최대',
  chartLabel: '{title}: 최근 {window} 동안의 선 {n}개',
  noRecent: '{age} 동안 새 값 없음',
  filter: '차트 찾기',
  range: '표시 시간',
  rangeAuto: '전체',
  noMatch: '“{text}”에 맞는 차트가 없습니다.',
  language: 'English',
  skip: '본문으로 건너뛰기',
  views: '화면',
  charts: '차트',
  graph: '그래프',
  letters: '배달 못 한 메시지',
  viewLoading: '화면을 불러오는 중…',
  viewFailed: '화면을 불러오지 못했습니다.',
  again: '다시 시도',
  settings: '설정',
  keys: '단축키',
  zone: '시간대',
  only: '이 선만',
  onlyLine: '{line}만 표시',
  findLine: '선 찾기',
  noLine: '“{text}”에 맞는 선이 없습니다.',
  showAll: '모두 표시 (숨김 {n}개)',
  menu: '메뉴',
  menuOf: '{title}: 메뉴',
  grip: '{title} 이동',
  gripHint: '끌거나 화살표 키를 누르세요',
  moved: '{title}: {of}개 중 {place}번째',
  hiddenCharts: '숨긴 차트',
  showChart: '{title} 표시',
  seconds: '{n}초',
  minutes: '{n}분',
  hours: '{n}시간',
};

/** The language of the page: as chosen, else as the browser asks for. */
export function firstLanguage(chosen: string, asked: readonly string[]): Lang {
  if (chosen === 'en' || chosen === 'ko') return chosen;
  for (const a of asked) {
    if (a.toLowerCase().startsWith('ko')) return 'ko';
    if (a.toLowerCase().startsWith('en')) return 'en';
  }
  return 'en';
}

export const lang = signal<Lang>('en');

/** What fills the {names} of a text. */
export type Values = Record<string, string | number>;

/**
 * The texts of one part of the page, as a function like [t]. Both dictionaries have
 * the same keys: the compiler sees to it. A part keeps them in its own words.ts, so
 * that they are fetched with it.
 */
export function texts<K extends string>(en: Record<K, string>, ko: Record<NoInfer<K>, string>): (key: K, values?: Values) => string {
  const all: Record<Lang, Record<K, string>> = { en, ko };
  return (key, values = {}) => all[lang.value][key].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** The text of key in the page's language, with {names} filled in. */
export const t = texts(en, ko);

/** A length of time in words, such as 10 min. */
export function duration(ms: number): string {
  const s = Math.round(ms / 1000);
  if (s < 60 || (s < 120 && s % 60)) return t('seconds', { n: s });
  if (s < 7200) return t('minutes', { n: Math.round(s / 60) });
  return t('hours', { n: Math.round(s / 3600) });
}

/** A short length of time, to the tenth of a second below 10 s. */
export function fine(ms: number): string {
  return ms < 10_000 ? t('seconds', { n: (ms / 1000).toFixed(1) }) : duration(ms);
}
