import { svelte } from "@sveltejs/vite-plugin-svelte"
import { defineConfig, type Plugin } from "vite"

// Svelte guards code for pages that a server has drawn, and for its older ways, by variables that never change here. The
// bundler sees so only where they are constants. The page is a tenth smaller without that code.
const constants: Plugin = {
  name: "svelte-constants",
  transform(code, id) {
    if (id.endsWith("/client/dom/hydration.js"))
      return code.replace("export let hydrating =", "export const hydrating =").replace("hydrating = value", "void value")
    if (id.endsWith("/internal/flags/index.js"))
      return code.replace(/export let (\w+_mode_flag) =/g, "export const $1 =").replace(/^\t\w+_mode_flag = .*$/gm, "")
  },
}

// The modules of the player are no part of the bundle: the audio thread loads them as they are, from /player/.
export default defineConfig({
  plugins: [svelte({ compilerOptions: { cssHash: ({ hash, name }) => `s${hash(name).slice(-2)}` } }), constants],
  build: {
    outDir: "../../src/wavewright/studio/static",
    emptyOutDir: true,
    target: ["chrome120", "firefox121", "safari17.2"],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0, // the page's policy forbids data: addresses
    rolldownOptions: {
      input: ["index.html", "listen.html"], // for the owner, and for invited listeners
      external: ["/player/player.js"],
      optimization: { inlineConst: true },
      output: { postBanner: "/*! Contains Svelte (MIT licence, copyright 2016-2026 Svelte contributors). */" },
    },
  },
})
