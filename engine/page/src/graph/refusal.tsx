import { t } from './words';

/** Why events cannot be seen, and what is needed. Status 0 is an engine out of reach. */
export function Refusal({ status, node, text }: { status: number; node: string; text: string }) {
  return (
    <div class="notice warn" role="alert">
      {inWords(status, node, text)}
    </div>
  );
}

function inWords(status: number, node: string, text: string) {
  if (status === 401) return t('needsToken');
  if (status === 403) return t('needsTap');
  if (status === 404) return t('gone', { node });
  if (status === 0) return t('away');
  if (status !== 400) return t('busy', { text });
  return (
    <>
      {t('refused')}
      <ul>
        {text.split('\n').map((line) => <li key={line}>{line}</li>)}
      </ul>
    </>
  );
}
