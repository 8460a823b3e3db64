import { defineConfig } from 'vite';

// The build is the same wherever it is made: names carry a hash of the content,
// and nothing depends on the time, the machine or the network.
export default defineConfig({
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    outDir: 'dist',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    // What the first load shares with parts that are fetched later is one file, which compresses best.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'shared', test: /node_modules.*preact|preload-helper|src.(frame.layout|lazy|route|format|i18n)\./ }] } } },
  },
  server: { proxy: { '/api': 'http://127.0.0.1:8080' } },
  test: { include: ['src/**/*.test.ts'], environment: 'node' },
} as never);
