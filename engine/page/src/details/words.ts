import { texts } from '../i18n';

export const en = {
  liveHint: 'Values are shown as they come.',
  laggingHint: 'The engine is {lag} behind its log and is catching up; what is shown is that old.',
  reconnectingHint: 'Nothing has come for {seconds} s. The page connects by itself.',
  staleHint: 'Nothing has come for {seconds} s; the charts show what was last received.',
  logAway: 'The engine cannot read its log at the moment; it goes on by itself.',
  heard: 'Last message',
  ago: '{age} ago',
  lag: 'Behind the log',
  skew: 'Server’s clock against this one',
  newest: 'Newest value',
  serverTime: 'Server’s time',
  clockBehind: 'The clock of this computer is {skew} behind the server’s. The charts go by the server’s.',
  clockAhead: 'The clock of this computer is {skew} ahead of the server’s. The charts go by the server’s.',
  refusedTitle: 'The engine refuses to show its values',
  todoToken: 'Load the page again and give a token as the password; any user name will do.',
  todoScope: 'Ask for a token with the scope observe, then load the page again.',
  todoWait: 'The page tries again by itself.',
  todoOther: 'The page goes on trying. Is this page of another version than the engine?',
};

export const ko: typeof en = {
  liveHint: '값이 들어오는 대로 표시합니다.',
  laggingHint: '엔진이 로그보다 {lag} 뒤처져 따라잡는 중이며, 표시된 값도 그만큼 늦습니다.',
  reconnectingHint: '{seconds}초 동안 수신이 없습니다. 자동으로 다시 연결합니다.',
  staleHint: '{seconds}초 동안 들어온 값이 없습니다. 마지막으로 받은 값을 표시합니다.',
  logAway: '엔진이 지금 로그를 읽지 못하고 있습니다. 복구되면 자동으로 이어집니다.',
  heard: '마지막 수신',
  ago: '{age} 전',
  lag: '로그 대비 지연',
  skew: '서버 시계 차이',
  newest: '최신 값',
  serverTime: '서버 시각',
  clockBehind: '이 컴퓨터의 시계가 서버보다 {skew} 느립니다. 차트는 서버 시계를 따릅니다.',
  clockAhead: '이 컴퓨터의 시계가 서버보다 {skew} 빠릅니다. 차트는 서버 시계를 따릅니다.',
  refusedTitle: '엔진이 값 표시를 거부했습니다',
  todoToken: '페이지를 새로 고치고 비밀번호에 토큰을 입력하세요. 사용자 이름은 무엇이든 됩니다.',
  todoScope: 'observe 권한이 있는 토큰을 받은 뒤 페이지를 새로 고치세요.',
  todoWait: '자동으로 다시 시도합니다.',
  todoOther: '계속 다시 시도합니다. 페이지와 엔진의 버전이 다른지 확인하세요.',
};

/** The texts about the connection. */
export const t = texts(en, ko);
