import { defineConfig, type Plugin } from "vite";

/** The portal speaks English: the other 33 languages of react-aria's own words stay out of the bundle. */
const english: Plugin = {
  name: "english-only",
  enforce: "pre",
  resolveId(source, importer) {
    if (!importer?.includes("/react-aria") && !importer?.includes("/react-stately")) return null;
    return /\/[a-z]{2}-[A-Z]{2}\.m?js$/.test(source) && !source.endsWith("/en-US.mjs") && !source.endsWith("/en-US.js") ? "\0no-words" : null;
  },
  load: (id) => (id === "\0no-words" ? "export default {}" : null),
};

export default defineConfig({
  plugins: [english],
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    chunkSizeWarningLimit: 600,
    rolldownOptions: {
      // The icons of all pages in one file, not each in its own.
      output: { advancedChunks: { groups: [{ name: "icons", test: /lucide-react/ }] } },
      // The directive is for servers that render React; there is none here.
      onLog: (level, log, report) => {
        if (log.code !== "MODULE_LEVEL_DIRECTIVE") report(level, log);
      },
    },
  },
  server: { proxy: { "/api": { target: "http://127.0.0.1:8080" } } },
});
