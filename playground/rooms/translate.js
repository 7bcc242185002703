/** Chapter 06: both ways, on a sheet to draw on, and the marks that a translator hides for the way back. */
import { button, buttons, canvas, choice, element, slider } from "../controls.js";
import { drawing } from "../drawing.js";
import { load } from "../network.js";
import { download, read, show } from "../pictures.js";
import { normal, uniform } from "../random.js";
import { following } from "./room.js";

/** @param {Element} place @param {string} chapter @param {import("./room.js").Chapter} about */
export function open(place, chapter, about) {
  const size = Number(about.settings.size);
  const examples = about.examples ?? [];
  const [a, b] = about.kinds ?? ["A", "B"];
  const row = element("div", { class: "row two" });
  place.append(row);
  const bar = buttons(place, `${chapter}/README.html#run-it`);
  const given = canvas(row, "The picture: draw on it", "paper");
  const there = canvas(row, "Its translation");
  const back = canvas(row, "The way back");
  const marks = canvas(row, "The hidden marks, with stretched contrast");
  const follow = following(place, draw);
  const panel = element("div", { class: "panel" });
  place.append(panel);

  const direction = choice(panel, "direction", { label: "Direction", options: ["AtoB", "BtoA"], value: "BtoA",
    shown: [`${a} → ${b} → ${a}`, `${b} → ${a} → ${b}`], link: `${chapter}/README.html#the-idea`,
    hint: "Which of the two translators goes first. The other one leads back." }, () => sheet.again());
  const stretch = slider(panel, "contrast", { label: "Contrast of the marks", from: 1, to: 40, step: 1, value: 12,
    link: `${chapter}/README.html#the-idea`, hint: "The translation minus its smoothed self, so many times stronger: edges, and the faint marks between them." }, stretched);
  const noise = slider(panel, "noise", { label: "Noise on the translation", from: 0, to: 0.3, step: 0.01, value: 0,
    link: `${chapter}/README.html#results`, hint: "How much noise does the way back bear? What it loses stood in the faint marks." }, follow);
  /** The side of what is on the sheet. @returns {"a" | "b"} */
  const side = () => (direction.value === "AtoB" ? "a" : "b");
  const tools = { bar, panel, chapter, size, palette: () => about.palettes?.[side()] ?? ["#ffffff", "#000000"],
    yours: "Its middle square is translated.", examples: () => examples.map((pair) => pair[side()]) };
  const sheet = drawing(given, tools, follow);
  button(bar, { label: "Download", hint: "saves the translation" }, () => download(there, chapter));

  /** @type {import("../network.js").Result | null} */
  let grained = null;

  async function draw() {
    const names = direction.value === "AtoB" ? ["to_b", "to_a"] : ["to_a", "to_b"];
    const [first, second] = await Promise.all(names.map((name) => load(about.networks[name])));
    const translated = await first.run(1, { x: read(given, size) });
    const grain = normal(translated.data.length, uniform(0));
    const noisy = translated.data.map((value, i) => value + noise.value * grain[i]);
    const returned = await second.run(1, { x: noisy });
    if (!place.isConnected) return;
    show(there, { ...translated, data: noisy });
    show(back, returned);
    grained = { ...translated, data: hidden(translated.data, size) };
    stretched();
  }

  function stretched() {
    if (grained) show(marks, { ...grained, data: grained.data.map((value) => value * stretch.value) });
  }
  return sheet.open();
}

/** What a mean over 3×3 pixels takes away from each map of a picture. @param {Float32Array} data @param {number} size */
function hidden(data, size) {
  return data.map((value, i) => {
    const [row, column, start] = [Math.floor(i / size) % size, i % size, i - (i % (size * size))];
    let [sum, count] = [0, 0];
    for (let y = Math.max(0, row - 1); y <= Math.min(size - 1, row + 1); y++) {
      for (let x = Math.max(0, column - 1); x <= Math.min(size - 1, column + 1); x++, count++) sum += data[start + y * size + x];
    }
    return value - sum / count;
  });
}
