/** Chapter 08: a face whose coarse, middle and fine styles come from other faces; noise and truncation. */
import { canvas, element, seed, slider } from "../controls.js";
import { load } from "../network.js";
import { show } from "../pictures.js";
import { latent, normal, onTheWay, uniform } from "../random.js";
import { following, walking } from "./room.js";

const CHAPTER = "08_stylegan";
/** Layers from and to: coarse 4×4 and 8×8, middle 16×16 and 32×32, then fine. */
const GROUPS = { coarse: [0, 4, "the lean of the head, glasses, long hair and clothes"], middle: [4, 8, "most of the skin's colour, and a part of all others"], fine: [8, 99, "most of the background's colour, and a part of all others"] };

/** @param {Element} place @param {string} chapter @param {import("./room.js").Chapter} about */
export function open(place, chapter, about) {
  const picture = canvas(place, "The face with mixed styles");
  const sources = element("div", { class: "row three" });
  place.append(sources);
  const small = Object.keys(GROUPS).map((name) => canvas(sources, `source of the ${name} styles`, "small"));
  const follow = following(place, draw);
  const panel = element("div", { class: "panel" });
  place.append(panel);
  const walk = walking(panel, chapter, picture, follow);
  const others = Object.entries(GROUPS).map(([name, [, , what]], i) => ({
    share: slider(panel, name, { label: `${name} styles from another face`, from: 0, to: 1, step: 0.01, value: 0,
      link: `${CHAPTER}/README.html#results`, hint: `How much of the ${name} styles comes from the other face: ${what}.` }, follow),
    seed: seed(panel, `${name}-seed`, { label: `Seed of the ${name} styles`, value: 11 + i, link: `${CHAPTER}/README.html#the-idea`, hint: "Which other face that is." }, follow),
  }));
  const psi = slider(panel, "psi", { label: "Truncation ψ", from: -1, to: 1.5, step: 0.05, value: 0.7,
    link: `${CHAPTER}/README.html#the-mathematics`, hint: "Pulls the style towards the mean face, at 0. Below 0 you meet the opposite face." }, follow);
  const strength = slider(panel, "noise", { label: "Noise", from: 0, to: 3, step: 0.05, value: 1,
    link: `${CHAPTER}/README.html#the-mathematics`, hint: "How strong the noise of each layer is. 1 is as in training, 0 is none." }, follow);
  const grain = seed(panel, "noise-seed", { label: "Seed of the noise", value: 0, link: `${CHAPTER}/README.html#the-mathematics`, hint: "Other noise, same face." }, follow);

  let shown = "";

  async function draw() {
    const mapping = await load(about.networks.mapping);
    const synthesis = await load(about.networks.synthesis);
    const dim = mapping.size("z");
    const latents = [onTheWay(dim, walk.seed, walk.way), ...others.map((other) => latent(dim, other.seed.value))];
    const z = new Float32Array(latents.flatMap((numbers) => [...numbers]));
    const w = await mapping.run(4, { z, psi: Float32Array.of(psi.value) });
    const [layers, width] = /** @type {number[]} */ (synthesis.stored.inputs.styles.slice(1));
    const styles = new Float32Array(4 * layers * width);
    const groups = Object.values(GROUPS);
    for (let face = 0; face < 4; face++) {
      for (let layer = 0; layer < layers; layer++) {
        const group = groups.findIndex(([from, to]) => layer >= Number(from) && layer < Number(to));
        const share = face === 0 ? others[group].share.value : 0;
        for (let i = 0; i < width; i++) {
          const [own, other] = [w.data[face * width + i], w.data[(group + 1) * width + i]];
          styles[(face * layers + layer) * width + i] = own + share * (other - own);
        }
      }
    }
    const next = uniform(grain.value);
    const noise = Object.fromEntries(synthesis.noise.map((name) =>
      [name, normal(synthesis.size(name), next).map((value) => value * strength.value)]));
    const each = layers * width;
    /** @param {number} face */
    const drawn = (face) => synthesis.run(1, { styles: styles.slice(face * each, (face + 1) * each), ...noise });
    const result = await drawn(0);
    if (!place.isConnected) return;
    show(picture, result);

    sources.hidden = others.every((other) => other.share.value === 0); // sources are shown when they are used
    const now = JSON.stringify([...others.map((other) => other.seed.value), psi.value, strength.value, grain.value]);
    if (sources.hidden || now === shown) return;
    shown = now; // and drawn when they change: a slider moves the one face
    for (const [i, canvas] of small.entries()) show(canvas, await drawn(i + 1));
  }
  return follow();
}
