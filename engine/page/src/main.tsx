import { effect } from '@preact/signals';
import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import { App } from './app';
import { firstLanguage, lang, storedLanguage } from './i18n';
import { past } from './past';
import { followAddress } from './route';
import { beat, begin, store } from './state';
import './style.css';

lang.value = firstLanguage(storedLanguage(), navigator.languages);
effect(() => {
  document.documentElement.lang = lang.value;
});
effect(() => {
  void beat.value;
  const names = [past.value?.title, store.hello?.pipeline, 'Millrace'];
  document.title = names.filter(Boolean).join(' · ');
});
followAddress();
const root = document.getElementById('app');
if (root) render(<App />, root);
begin();
