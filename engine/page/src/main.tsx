import { effect } from '@preact/signals';
import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import { App } from './app';
import { serverOffset, zone, type Zone } from './format';
import { chosenLang, chosenZone, followLayout, hiddenLines, nameOf } from './frame/layout';
import { followKeys } from './frame/shortcuts';
import { followTheme } from './frame/theme';
import { firstLanguage, lang } from './i18n';
import { fetchEarly } from './lazy';
import { past } from './past';
import { followAddress } from './route';
import { beat, begin, store } from './state';
import './themes.css';
import './style.css';

followAddress();
followLayout();
followTheme();
followKeys();
effect(() => {
  lang.value = firstLanguage(chosenLang.value, navigator.languages);
  document.documentElement.lang = lang.value;
});
effect(() => {
  zone.value = (chosenZone.value || 'local') as Zone;
});
effect(() => {
  const hidden = hiddenLines.value;
  store.hides = (chart, key) => hidden.has(nameOf(chart, key));
  store.hideLines();
  store.hideLines(past.value?.charts ?? []);
});
effect(() => {
  void beat.value;
  const names = [past.value?.title, store.hello?.pipeline, 'Millrace'];
  document.title = names.filter(Boolean).join(' · ');
  serverOffset.value = store.hello?.utcOffset;
});
const root = document.getElementById('app');
if (root) render(<App />, root);
begin();
setTimeout(fetchEarly, 1000);
