import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** The icons of Video.js are SVG here; its icon font is a data: address, which the content security policy refuses. */
function withoutIconFont(): Plugin {
  return {
    name: 'without-icon-font',
    enforce: 'pre',
    transform(code, id) {
      return id.endsWith('/video-js.css') ? code.replace(/@font-face\s*\{[^}]*\}/g, '') : null;
    },
  };
}

export default defineConfig({
  // Relative addresses: the page works below any base path.
  base: './',
  plugins: [withoutIconFont()],
  build: {
    target: 'es2022',
    // The content security policy has no data: addresses but for images.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Video.js with its engine is one chunk of about 750 kB.
    chunkSizeWarningLimit: 800,
    rollupOptions: {
      input: ['index.html', 'simple.html'],
      output: { manualChunks: { videojs: ['video.js'], hls: ['hls.js/light'] } },
    },
  },
  test: { include: ['test/**/*.test.ts'] },
});
