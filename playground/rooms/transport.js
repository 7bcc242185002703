/** Chapter 03: the cheapest way to carry one cloud of points to another, and what Jensen-Shannon says of it. */
import { button, buttons, canvas, element, slider } from "../controls.js";
import { context, download } from "../pictures.js";
import { normal, uniform } from "../random.js";
import { distances, match } from "../ring/transport.js";

const [POINTS, REACH] = [32, 4];
const LINK = "03_wgan_gp/README.html";

/** @param {Element} place */
export function open(place) {
  const picture = canvas(place, "Real points blue, generated ones orange; each line is what is carried", "plot");
  [picture.width, picture.height] = [480, 480];
  const status = element("p", { class: "status", role: "status" });
  const panel = element("div", { class: "panel" });
  place.append(status, panel);
  const shift = slider(panel, "shift", { label: "Distance θ", from: -2, to: 2, step: 0.05, value: 1.2, link: `${LINK}#the-problem`,
    hint: "Moves the generated points sideways. W follows θ smoothly. The Jensen-Shannon divergence stays at log 2 where nothing overlaps." }, draw);
  const spread = slider(panel, "spread", { label: "Spread of the generated points", from: 0, to: 1, step: 0.05, value: 0.4, link: `${LINK}#the-idea`,
    hint: "At 0 all mass lies at one point: a collapsed generator." }, draw);
  const seed = slider(panel, "seed", { label: "Seed", from: 1, to: 50, step: 1, value: 1, link: `${LINK}#the-idea`, hint: "Other points, the same rule." }, draw);
  const bar = buttons(panel, `${LINK}#the-idea`);
  button(bar, { label: "Download", hint: "saves this picture" }, () => download(picture, "transport"));
  const [real, fake] = ["#1f77b4", "#ff7f0e"];

  /** @param {number} width @param {number} centre @param {() => number} next */
  const cloud = (width, centre, next) => {
    const numbers = normal(2 * POINTS, next);
    return Array.from({ length: POINTS }, (_, i) => [centre + width * numbers[2 * i], width * numbers[2 * i + 1] * 1.5]);
  };

  function draw() {
    const next = uniform(seed.value);
    const [x, y] = [cloud(0.4, 0, next), cloud(spread.value, shift.value, next)];
    const cost = distances(x, y);
    const columns = match(cost);
    const carried = columns.reduce((sum, column, row) => sum + cost[row][column], 0) / POINTS;
    const pen = context(picture);
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, picture.width, picture.height);
    const at = (/** @type {number[]} */ point) => [point[0], -point[1]].map((value) => ((value / REACH + 1) / 2) * picture.width);
    pen.strokeStyle = "#999999";
    pen.beginPath();
    columns.forEach((column, row) => {
      pen.moveTo(...pair(at(x[row])));
      pen.lineTo(...pair(at(y[column])));
    });
    pen.stroke();
    for (const [points, colour] of /** @type {const} */ ([[x, real], [y, fake]])) {
      pen.fillStyle = colour;
      for (const point of points) {
        pen.beginPath();
        pen.arc(...pair(at(point)), 5, 0, 2 * Math.PI);
        pen.fill();
      }
    }
    status.textContent = `W = ${carried.toFixed(2)}: so far is a point carried on average. JSD = ${jensenShannon(x, y).toFixed(2)} of at most ${Math.LN2.toFixed(2)}, counted in squares of 0.5.`;
    status.dataset.distance = `${carried}`;
  }
  draw();
  return Promise.resolve();
}

/** @param {number[]} point @returns {[number, number]} */
const pair = (point) => [point[0], point[1]];

/** JSD of two clouds, as shares of the squares of a chessboard. @param {number[][]} x @param {number[][]} y */
function jensenShannon(x, y) {
  const share = (/** @type {number[][]} */ points) => {
    /** @type {Map<string, number>} */
    const squares = new Map();
    for (const point of points) {
      const square = point.map((value) => Math.floor(value / 0.5)).join();
      squares.set(square, (squares.get(square) ?? 0) + 1 / points.length);
    }
    return squares;
  };
  const [p, q] = [share(x), share(y)];
  let sum = 0;
  for (const square of new Set([...p.keys(), ...q.keys()])) {
    const [a, b] = [p.get(square) ?? 0, q.get(square) ?? 0];
    for (const part of [a, b]) if (part) sum += (part * Math.log((2 * part) / (a + b))) / 2;
  }
  return sum;
}
