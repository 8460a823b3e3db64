import { effect } from '@preact/signals';
import { render } from 'preact';
import 'uplot/dist/uPlot.min.css';
import { App } from './app';
import { firstLanguage, lang, storedLanguage } from './i18n';
import { begin } from './state';
import './style.css';

lang.value = firstLanguage(storedLanguage(), navigator.languages);
effect(() => {
  document.documentElement.lang = lang.value;
});
const root = document.getElementById('app');
if (root) render(<App />, root);
begin();
