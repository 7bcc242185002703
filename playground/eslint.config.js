// Paths are seen from the repository's root: `npm run lint` goes there.
import js from "@eslint/js";

const browser = ["document", "window", "location", "history", "performance", "fetch", "requestAnimationFrame",
  "cancelAnimationFrame", "ImageData", "Image", "URL", "URLSearchParams", "createImageBitmap", "WebAssembly", "navigator",
  "setTimeout", "clearTimeout", "console", "DOMException", "atob", "btoa", "IntersectionObserver", "MutationObserver", "matchMedia", "Event"];

export default [
  js.configs.recommended,
  { languageOptions: { globals: Object.fromEntries(browser.map((name) => [name, "readonly"])) } },
  { files: ["**/*.mjs"], languageOptions: { globals: { process: "readonly" } } },  // the tests' own, for Node.js
  { rules: { eqeqeq: "error", "prefer-const": "error", "no-var": "error" } },
];
