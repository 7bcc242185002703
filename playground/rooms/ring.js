/** A ring of Gaussians: a small GAN trains while you look, and its losses and rates are under your fingers. */
import { button, buttons, canvas, choice, element, slider, toggle } from "../controls.js";
import { context, download } from "../pictures.js";
import { normal, uniform } from "../random.js";
import { adam, forward, mlp, step } from "../ring/gan.js";
import * as state from "../state.js";
import { loop } from "./room.js";

const [MODES, RADIUS, STD, LATENT, WIDTH, BATCH, SHOWN, REACH] = [8, 2, 0.1, 8, 48, 96, 400, 3];
const LINK = "01_basic_gan/README.html";

/** @param {Element} place */
export function open(place) {
  const picture = canvas(place, "Real points blue, generated ones orange, the discriminator's opinion grey: light is real", "plot");
  [picture.width, picture.height] = [480, 480];
  const status = element("p", { class: "status", role: "status", "aria-live": "polite" });
  const curve = canvas(place, "Losses of the last steps: discriminator grey, generator orange", "plot flat");
  [curve.width, curve.height] = [480, 120];
  const panel = element("div", { class: "panel" });
  place.append(status, panel);
  const bar = buttons(panel, `${LINK}#the-idea`);
  const go = loop(place, () => train());
  const start = toggle(bar, { label: "Train", other: "Stop", hint: "lets the two networks play" }, (on) => {
    status.setAttribute("aria-live", on ? "off" : "polite"); // read out when it stops, not sixty times a second
    go(on);
    if (!on) draw();
  });
  button(bar, { label: "Begin anew", hint: "takes new networks and other random numbers" }, () => begin(seed + 1));
  button(bar, { label: "Download", hint: "saves this picture" }, () => download(picture, "ring"));
  const loss = choice(panel, "loss", { label: "Loss", options: ["non-saturating", "saturating", "hinge"], value: "non-saturating",
    link: `${LINK}#the-mathematics`, hint: "Saturating is Eq. 1 to the letter: a generator that is found out hardly learns." }, () => {});
  const rateG = slider(panel, "lr-g", { label: "Learning rate of G, 10 to the power of", from: -5, to: -1, step: 0.1, value: -2.7,
    link: `${LINK}#what-goes-wrong`, hint: "Too high, and the points chase each other around the ring." }, () => {});
  const rateD = slider(panel, "lr-d", { label: "Learning rate of D, 10 to the power of", from: -5, to: -1, step: 0.1, value: -2.3,
    link: `${LINK}#what-goes-wrong`, hint: "Too low, and G runs to the one mode that D happens to like." }, () => {});
  const pace = slider(panel, "pace", { label: "Steps in a frame", from: 1, to: 20, step: 1, value: 3, link: `${LINK}#run-it`, hint: "How fast time goes by." }, () => {});

  let seed = state.number("seed", 1);
  /** @type {() => number} */
  let next;
  /** @type {Parameters<typeof step>[0]} */
  let game;
  let [steps, fixed] = [0, new Float32Array()];
  /** @type {{lossD: number, lossG: number}[]} */
  let losses = [];

  /** @param {number} wanted */
  function begin(wanted) {
    [seed, steps, losses, next] = [wanted, 0, [], uniform(wanted)];
    state.set("seed", seed);
    const [generator, discriminator] = [mlp([LATENT, WIDTH, WIDTH, 2], next), mlp([2, WIDTH, WIDTH, 1], next)];
    game = { generator, discriminator, stepG: adam(generator), stepD: adam(discriminator) };
    fixed = normal(SHOWN * LATENT, next);
    draw();
  }

  function train() {
    for (let i = 0; i < pace.value; i++, steps++) {
      const batch = { real: ring(BATCH, next), z: normal(BATCH * LATENT, next), again: normal(BATCH * LATENT, next) };
      losses.push(step(game, batch, { loss: loss.value, rateG: 10 ** rateG.value, rateD: 10 ** rateD.value }));
    }
    losses = losses.slice(-480);
    if (losses.some(({ lossD, lossG }) => !Number.isFinite(lossD + lossG))) {
      start.click();
      status.textContent = "A loss is not a number any more: the rates are too high. Begin anew with lower ones.";
      return;
    }
    draw();
  }

  function draw() {
    const pen = context(picture);
    const cells = 40;
    const grid = new Float32Array(2 * cells * cells).map((_, i) => {
      const cell = (i % 2 ? Math.floor(i / 2 / cells) : (i / 2) % cells) + 0.5;
      return ((2 * cell) / cells - 1) * REACH * (i % 2 ? -1 : 1); // y grows upwards
    });
    const logits = /** @type {Float32Array} */ (forward(game.discriminator, grid).at(-1));
    const side = picture.width / cells;
    logits.forEach((logit, i) => {
      const light = Math.round(90 + 150 / (1 + Math.exp(-logit)));
      pen.fillStyle = `rgb(${light} ${light} ${light})`;
      pen.fillRect((i % cells) * side, Math.floor(i / cells) * side, side + 1, side + 1);
    });
    const fake = /** @type {Float32Array} */ (forward(game.generator, fixed).at(-1));
    for (const [points, colour] of /** @type {const} */ ([[ring(SHOWN, uniform(0)), "#1f77b4"], [fake, "#ff7f0e"]])) {
      for (let i = 0; i < points.length; i += 2) {
        const [x, y] = [points[i], -points[i + 1]].map((value) => ((value / REACH + 1) / 2) * picture.width);
        pen.fillStyle = "#000000"; // a frame, so that a point is seen on any grey
        pen.fillRect(x - 3, y - 3, 6, 6);
        pen.fillStyle = colour;
        pen.fillRect(x - 2, y - 2, 4, 4);
      }
    }
    const found = covered(fake);
    status.textContent = `step ${steps}: ${found} of ${MODES} modes covered, each by a quarter of its share within 3 deviations`;
    status.dataset.covered = `${found}`;
    plot(curve, losses);
  }

  begin(seed);
  return Promise.resolve();
}

/** @param {number} mode */
const centre = (mode) => [RADIUS * Math.cos((2 * Math.PI * mode) / MODES), RADIUS * Math.sin((2 * Math.PI * mode) / MODES)];

/** Points of the mixture. @param {number} count @param {() => number} next */
function ring(count, next) {
  const points = normal(2 * count, next);
  for (let i = 0; i < count; i++) {
    const [x, y] = centre(Math.floor(next() * MODES));
    [points[2 * i], points[2 * i + 1]] = [x + STD * points[2 * i], y + STD * points[2 * i + 1]];
  }
  return points;
}

/** How many modes have at least a quarter of their share of the points within 3 deviations. @param {Float32Array} points */
function covered(points) {
  const near = new Array(MODES).fill(0);
  for (let i = 0; i < points.length; i += 2) {
    for (let mode = 0; mode < MODES; mode++) {
      const [x, y] = centre(mode);
      if (Math.hypot(points[i] - x, points[i + 1] - y) < 3 * STD) near[mode]++;
    }
  }
  return near.filter((count) => count >= points.length / 2 / MODES / 4).length;
}

/** @param {HTMLCanvasElement} curve @param {{lossD: number, lossG: number}[]} losses */
function plot(curve, losses) {
  const pen = context(curve);
  pen.fillStyle = "#ffffff";
  pen.fillRect(0, 0, curve.width, curve.height);
  for (const [name, colour] of /** @type {const} */ ([["lossD", "#7f7f7f"], ["lossG", "#ff7f0e"]])) {
    pen.strokeStyle = colour;
    pen.lineWidth = 2;
    pen.beginPath();
    losses.forEach((both, x) => pen.lineTo(x, curve.height - 4 - ((Math.max(-1, Math.min(5, both[name])) + 1) / 6) * (curve.height - 8)));
    pen.stroke();
  }
}
