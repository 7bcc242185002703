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

/** The words of each diagram that is drawn: in another theme it is drawn anew. @type {Map<HTMLElement, string>} */
const words = new Map();

let busy = Promise.resolve(); // one after the other: Mermaid draws on one sheet

/** @param {HTMLElement[]} diagrams */
function draw(diagrams) {
  busy = busy.then(() => drawn(diagrams));
}

/** @param {HTMLElement[]} diagrams */
async function drawn(diagrams) {
  const { default: mermaid } = await import(`${vendor}mermaid/mermaid.esm.min.mjs`);
  for (const diagram of diagrams) {
    const said = words.get(diagram) ?? diagram.innerHTML;
    words.set(diagram, said);
    diagram.innerHTML = said;
    delete diagram.dataset.processed;
  }
  const wish = document.body.dataset.theme;
  const dark = wish === "dark" || (wish !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  mermaid.initialize({ startOnLoad: false, theme: dark ? "dark" : "default" });
  await mermaid.run({ nodes: diagrams });
}

seen("pre.mermaid", draw);
new MutationObserver(() => words.size && draw([...words.keys()])).observe(document.body, { attributeFilter: ["data-theme"] });
