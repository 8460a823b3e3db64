import { count } from '../format';
import { letters } from '../live/topics';
import { exporting, exportLetters } from './export';
import { query, rows, selectAll, selection, total } from './listing';
import { choiceOf, mostNamed, none, size } from './selection';
import { t } from './words';

/** How many letters there are and how many are selected, and what can be done with those. */
export function Bar({ act }: { act: (what: 'replay' | 'drop') => void }) {
  const n = size(selection.value);
  const save = (): void => void exportLetters(n ? choiceOf(selection.value) : query());
  const button = (what: 'replay' | 'drop', kind: string) => (
    <button type="button" class={kind} aria-disabled={n === 0} title={n ? undefined : t('choose')} onClick={() => n > 0 && act(what)}>
      {t(what)}
    </button>
  );
  return (
    <div class="acts selecting" role="group" aria-label={t('actions')}>
      <Counted n={n} />
      <span class="right">
        {button('replay', 'main')}
        {button('drop', 'danger')}
        <button type="button" aria-disabled={exporting.value?.state === 'running'} onClick={save}>
          {t('exportAll', { n: count(n || (total.value ?? 0)) })}
        </button>
      </span>
    </div>
  );
}

function Counted({ n }: { n: number }) {
  const matching = total.value ?? 0;
  const all = Math.max(letters.value?.total ?? 0, matching);
  const some = selection.value.kind === 'some';
  return (
    <>
      <span class="counted" role="status">
        {n === 0 && (matching < all ? t('matching', { n: count(matching), all: count(all) }) : t('count', { n: count(matching) }))}
        {n > 0 && t(some ? 'selected' : 'selectedAll', { n: count(n) })}
      </span>
      {some && n > 0 && n < matching && (
        <button type="button" class="plain" onClick={() => void selectAll()}>
          {t('selectAll', { n: count(matching) })}
        </button>
      )}
      {n > 0 && (
        <button type="button" class="plain" onClick={() => (selection.value = none)}>
          {t('unselect')}
        </button>
      )}
      {some && n >= mostNamed && rows.value.length > mostNamed && <span class="muted">{t('tooMany', { n: count(mostNamed) })}</span>}
    </>
  );
}
