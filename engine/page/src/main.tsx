import { effect } from '@preact/signals';
import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import { App } from './app';
import { firstLanguage, lang, storedLanguage } from './i18n';
import { followAddress } from './route';
import { beat, begin, store } from './state';
import './style.css';

lang.value = firstLanguage(storedLanguage(), navigator.languages);
effect(() => {
  document.documentElement.lang = lang.value;
});
effect(() => {
  void beat.value;
  document.title = store.hello ? `${store.hello.pipeline} · Millrace` : 'Millrace';
});
followAddress();
const root = document.getElementById('app');
if (root) render(<App />, root);
begin();
