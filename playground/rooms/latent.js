/** Chapters 01 to 04 and 07: a latent becomes a picture. A class, a resolution and alpha join in where the network has them. */
import { canvas, choice, element, slider } from "../controls.js";
import { load } from "../network.js";
import { show } from "../pictures.js";
import { latent, onTheWay, uniform } from "../random.js";
import * as state from "../state.js";
import { directed, following, walking } from "./room.js";

/** @param {Element} place @param {string} chapter @param {import("./room.js").Chapter} about */
export function open(place, chapter, about) {
  const picture = canvas(place, `What the generator of chapter ${chapter.slice(0, 2)} draws`);
  const panel = element("div", { class: "panel" });
  const follow = following(place, draw);
  place.append(panel);
  const walk = walking(panel, chapter, picture, follow);
  const names = Object.keys(about.networks);
  const inputs = about.networks[names[0]].inputs;

  const resolution = names.length > 1 ? choice(panel, "resolution", {
    label: "Resolution", options: names.map((name) => name.split("_")[1]), value: `${about.settings.resolution}`,
    link: `${chapter}/README.html#the-idea`, hint: "Each resolution is a network inside of the next one.",
  }, follow) : null;
  const alpha = inputs.alpha ? slider(panel, "alpha", {
    label: "Alpha", from: 0, to: 1, step: 0.01, value: 1, link: `${chapter}/README.html#the-mathematics`,
    hint: "Fades from the doubled picture of the smaller network, at 0, to that of the newest layers, at 1. At 4×4 there is nothing to fade.",
  }, follow) : null;

  /** @type {string[]} */
  const classes = about.settings.names ?? [];
  const label = inputs.labels ? choice(panel, "class", {
    label: "Class", options: classes, value: classes[7] ?? classes[0], link: `${chapter}/README.html#the-idea`,
    hint: "The class that you ask for. The latent decides the rest: slant, stroke and width.",
  }, follow) : null;
  const blend = label ? slider(panel, "blend", {
    label: "Way to the next class", from: 0, to: 1, step: 0.01, value: 0, link: `${chapter}/README.html#the-mathematics`,
    hint: "Mixes the numbers that stand for two classes. Training never asked for a picture in between.",
  }, follow) : null;
  const truncation = label ? slider(panel, "truncation", {
    label: "Truncation", from: 0.1, to: 3, step: 0.1, value: 3, link: "docs/glossary.html#truncation",
    hint: "Draws each number of z again that is beyond this, at the two ends of the way. Do the digits become better?",
  }, follow) : null;
  const pushed = directed(panel, chapter, about.directions ?? [], follow);

  async function draw() {
    const network = await load(about.networks[resolution ? `generator_${resolution.value}` : names[0]]);
    const most = truncation?.value ?? 3;
    /** @type {typeof latent} */
    const stops = (count, seed) => (most < 3 ? truncated(latent(count, seed), most, seed) : latent(count, seed));
    const z = pushed(onTheWay(network.size("z"), walk.seed, walk.way, stops));
    /** @type {Record<string, Float32Array>} */
    const feeds = { z };
    if (alpha) feeds.alpha = Float32Array.of(alpha.value);
    if (label && blend) {
      feeds.labels = new Float32Array(classes.length);
      const first = classes.indexOf(label.value);
      feeds.labels[first] += 1 - blend.value;
      feeds.labels[(first + 1) % classes.length] += blend.value;
    }
    const result = await network.run(1, feeds);
    if (place.isConnected) show(picture, result);
  }
  state.set("seed", walk.seed);
  return follow();
}

/** Each number beyond ±most is drawn again until it is not. @param {Float32Array} z @param {number} most @param {number} seed */
function truncated(z, most, seed) {
  const next = uniform(seed + 1e6);
  return z.map((value) => {
    while (Math.abs(value) > most) value = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    return value;
  });
}
