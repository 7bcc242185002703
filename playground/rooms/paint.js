/** Chapter 05: a sheet to draw on, and the translator that follows the pen. */
import { button, buttons, canvas, element, seed } from "../controls.js";
import { drawing } from "../drawing.js";
import { load } from "../network.js";
import { download, read, show } from "../pictures.js";
import { uniform } from "../random.js";
import { following } from "./room.js";

const ANSWERS = 4;

/** @param {Element} place @param {string} chapter @param {import("./room.js").Chapter} about */
export function open(place, chapter, about) {
  const size = Number(about.settings.size);
  const forwards = about.settings.direction === "AtoB";
  const examples = (about.examples ?? []).map((pair) => pair[forwards ? "a" : "b"]);
  const [a, b] = about.kinds ?? ["A", "B"];
  const [from, to] = forwards ? [a, b] : [b, a];

  const row = element("div", { class: "row sheet" });
  place.append(row);
  const bar = buttons(place, `${chapter}/README.html#run-it`);
  const paper = canvas(row, `Your ${from}: draw here`, "paper");
  const answer = canvas(row, `The answer: a ${to}`);
  const more = element("div", { class: "row three" });
  place.append(more);
  const others = Array.from({ length: ANSWERS - 1 }, (_, i) => canvas(more, `Another answer (${i + 2})`, "small"));
  const follow = following(place, draw);
  const panel = element("div", { class: "panel" });
  place.append(panel);

  const palette = about.palettes?.[forwards ? "a" : "b"] ?? ["#ffffff", "#000000"];
  const tools = { bar, panel, chapter, size, palette: () => palette,
    yours: `A ${from}, whose middle square is taken.`, examples: () => examples };
  const sheet = drawing(paper, tools, follow);
  button(bar, { label: "Download", hint: "saves the answer" }, () => download(answer, chapter));
  const noise = seed(panel, "noise-seed", { label: "Seed of the dropout", value: 1, link: `${chapter}/README.html#the-idea`,
    hint: "Dropout is the only noise of this network. Other noise, other colours for the same drawing." }, follow);

  /** The answer of one dropout. @param {number} which */
  async function answered(which) {
    const network = await load(about.networks.generator);
    const next = uniform(noise.value + which);
    const numbers = network.noise.map((name) => [name, Float32Array.from({ length: network.size(name) }, next)]);
    return network.run(1, { x: read(paper, size), ...Object.fromEntries(numbers) });
  }

  let turn = 0;
  async function draw() {
    const now = ++turn;
    const result = await answered(0);
    if (!place.isConnected) return;
    show(answer, result);
    setTimeout(async () => { // the others wait until the pen rests
      for (let i = 0; i < others.length && now === turn && place.isConnected; i++) show(others[i], await answered(i + 1));
    }, 120);
  }

  return sheet.open();
}
