import { effect, signal } from '@preact/signals';
import { count } from '../format';
import { t } from '../i18n';
import { letters } from '../live/topics';
import { beat, chip, type Chip } from '../state';

const said = signal('');
const settled = 4; // beats that a state must last before it is told, 1 s

/** Tells people who hear the page something, when they are not busy hearing something else. */
export function announce(text: string): void {
  said.value = text;
}

/** Announces the first dead letters, until the result is called. */
export function announceLetters(): () => void {
  let told = 0;
  return effect(() => {
    const total = letters.value?.total ?? 0;
    if (total && !told) announce(`${t('letters')}: ${count(total)}`);
    told = total;
  });
}

/** Announces changes of the connection's state that last, until the result is called. */
export function announceStates(): () => void {
  let told: Chip = 'live'; // that all is well is no news at first
  let seen: Chip = 'live';
  let since = 0;
  return effect(() => {
    const now = beat.value;
    const state = chip();
    if (state !== seen) [seen, since] = [state, now];
    if (state === told || state === 'connecting' || now - since < settled) return;
    told = state;
    announce(`${t('stateLabel')}: ${t(state)}`);
  });
}

/** Where announcements are read from. */
export function Announcements() {
  return (
    <p class="unseen" role="status">
      {said.value}
    </p>
  );
}
