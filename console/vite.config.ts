import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

// Everything is a file of its own: the policy of the pages allows nothing inline, and no data: address but for images.
export default defineConfig({
  plugins: [svelte()],
  base: './',
  build: {
    outDir: '../src/sanjin/api/console_files',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
    reportCompressedSize: false,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
})
