import js from "@eslint/js";

const browser = ["document", "window", "location", "history", "performance", "fetch", "requestAnimationFrame",
  "cancelAnimationFrame", "ImageData", "Image", "URL", "URLSearchParams", "createImageBitmap", "WebAssembly", "navigator",
  "setTimeout", "clearTimeout", "console", "DOMException", "atob", "btoa", "IntersectionObserver", "MutationObserver", "matchMedia"];

export default [
  js.configs.recommended,
  { languageOptions: { globals: Object.fromEntries(browser.map((name) => [name, "readonly"])) } },
  { rules: { eqeqeq: "error", "prefer-const": "error", "no-var": "error" } },
];
