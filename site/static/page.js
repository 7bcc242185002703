/** Formulas and diagrams, drawn where they are, when they come into view. Nothing is fetched from another host. */
const vendor = new URL("vendor/", import.meta.url);

/** @param {string} query @param {(elements: HTMLElement[]) => void} draw */
function seen(query, draw) {
  const watch = new IntersectionObserver((entries) => {
    const now = entries.filter((entry) => entry.isIntersecting).map((entry) => /** @type {HTMLElement} */ (entry.target));
    now.forEach((element) => watch.unobserve(element));
    if (now.length) draw(now);
  }, { rootMargin: "300px" });
  document.querySelectorAll(query).forEach((element) => watch.observe(element));
}

seen(".formula", async (formulas) => {
  const { default: katex } = await import(`${vendor}katex/katex.mjs`);
  for (const formula of formulas) {
    katex.render(formula.textContent ?? "", formula, { displayMode: formula.tagName === "DIV", throwOnError: false });
  }
});

seen("pre.mermaid", async (diagrams) => {
  const { default: mermaid } = await import(`${vendor}mermaid/mermaid.esm.min.mjs`);
  const wish = document.body.dataset.theme;
  const dark = wish === "dark" || (wish !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "default" });
  await mermaid.run({ nodes: diagrams });
});
