import { zone } from '../format';
import { announce } from '../frame/announce';
import { change, reset, theme, themes, type Field } from '../frame/layout';
import { lang } from '../i18n';
import { Frame } from './frame';
import { t } from './words';
import { zones } from './zones';

interface ChoiceProps {
  name: string;
  field: Field;
  chosen: string;
  of: [value: string, text: string, lang?: string][];
}

/** One setting as a row of radio buttons. */
function Choice({ name, field, chosen, of }: ChoiceProps) {
  return (
    <fieldset>
      <legend>{name}</legend>
      <div class="options">
        {of.map(([value, text, lang]) => (
          <label key={value} lang={lang}>
            <input type="radio" name={field} value={value} checked={value === chosen} onChange={() => change(field, value)} />
            <span>{text}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}

function forget(): void {
  reset();
  announce(t('wasReset'));
}

/** Theme, language and time zone, and the way back to how all of it was. */
export function Settings() {
  return (
    <Frame title={t('settings')}>
      <Choice name={t('theme')} field="theme" chosen={theme.value} of={themes.map((v) => [v, t(v)])} />
      <Choice name={t('language')} field="lang" chosen={lang.value} of={[['en', 'English', 'en'], ['ko', '한국어', 'ko']]} />
      <Choice name={t('zone')} field="tz" chosen={zone.value} of={zones().map((v) => [v, t(v)])} />
      <p>{t('kept')}</p>
      <button type="button" onClick={forget}>
        {t('reset')}
      </button>
    </Frame>
  );
}
