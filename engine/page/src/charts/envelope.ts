import { signal } from '@preact/signals';

const remembered = 'millrace.envelope';

function stored(): boolean {
  try {
    return localStorage.getItem(remembered) === 'on';
  } catch {
    return false; // as without storage
  }
}

/** Whether lines denser than pixels are drawn as a mean and a band; of the whole page. */
export const envelope = signal(stored());

/** Chooses that, and remembers it where the browser allows that. */
export function chooseEnvelope(on: boolean): void {
  envelope.value = on;
  try {
    localStorage.setItem(remembered, on ? 'on' : 'off');
  } catch {
    // private windows may refuse; the choice then lasts as long as the page
  }
}
