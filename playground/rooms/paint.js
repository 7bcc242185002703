/** Chapter 05: a canvas to draw on, and the translator that follows the pen. */
import { button, canvas, colour, element, seed, slider } from "../controls.js";
import { load } from "../network.js";
import { context, download, fit, picture, read, show } from "../pictures.js";
import { uniform } from "../random.js";
import { following } from "./room.js";

const SIDE = 512; // of the canvas: strokes are drawn large, and averaged down to the size of the training
const ANSWERS = 4;

/** @param {Element} place @param {string} chapter @param {import("./room.js").Chapter} about */
export function open(place, chapter, about) {
  const size = Number(about.settings.size);
  const [from, to] = about.settings.direction === "AtoB" ? /** @type {const} */ (["a", "b"]) : /** @type {const} */ (["b", "a"]);
  const examples = (about.examples ?? []).map((pair) => pair[from]);
  const palette = about.palette ?? ["#000000", "#ffffff"];
  const link = `${chapter}/README.html#the-idea`;

  const row = element("div", { class: "row" });
  place.append(row);
  const paper = canvas(row, `Draw here: the translator follows (${about.settings.data}, from ${from.toUpperCase()} to ${to.toUpperCase()})`, "paper");
  paper.tabIndex = 0;
  [paper.width, paper.height] = [SIDE, SIDE];
  const answer = canvas(row, "The answer");
  const more = element("div", { class: "row three" });
  place.append(more);
  const others = Array.from({ length: ANSWERS - 1 }, (_, i) => canvas(more, `Another answer (${i + 2})`, "small"));
  const follow = following(place, draw);
  const panel = element("div", { class: "panel" });
  place.append(panel);

  const bar = element("div", { class: "buttons" });
  panel.append(bar);
  const ink = colour(panel, "ink", { label: "Ink", palette: palette.slice(1), link: `${chapter}/README.html#results`,
    hint: "The colours that are offered are the commonest of the test pictures. Another one is news to the network." }, () => mark());
  const width = slider(panel, "width", { label: "Pen width", from: 1, to: 12, step: 0.5, value: palette.length > 3 ? 8 : 1,
    hint: `In pixels of the picture, which is ${size} pixels wide.`, link }, () => {});
  const noise = seed(panel, "noise-seed", { label: "Seed of the dropout", value: 1, link: `${chapter}/README.html#the-mathematics`,
    hint: "Dropout is the only noise of this network. Other dropout, another answer, but not a very different one." }, follow);

  const pen = context(paper);
  /** @type {ImageData[]} */
  const past = [];
  const remember = () => {
    past.push(pen.getImageData(0, 0, SIDE, SIDE));
    if (past.length > 20) past.shift();
  };
  const blank = () => {
    pen.fillStyle = palette[0];
    pen.fillRect(0, 0, SIDE, SIDE);
  };
  let erasing = false;
  const eraser = button(bar, { label: "Eraser", hint: "Wipe with the colour of the paper" }, () => mark(!erasing));
  /** @param {boolean} [wipe] */
  function mark(wipe = false) {
    erasing = wipe;
    eraser.setAttribute("aria-pressed", `${wipe}`);
  }
  mark();
  button(bar, { label: "Undo", hint: "Take the last stroke back (Ctrl Z)" }, undo);
  button(bar, { label: "Clear", hint: "A new sheet" }, () => {
    remember();
    blank();
    follow();
  });
  button(bar, { label: "Download", hint: "Save the answer" }, () => download(answer, chapter));
  const shelf = element("div", { class: "buttons" });
  panel.prepend(shelf);
  examples.forEach((address, i) => {
    const start = button(shelf, { label: "", hint: "Start from a test picture" }, () => example(address));
    start.append(element("img", { src: `models/${address}`, alt: `Example ${i + 1}`, width: "48", height: "48" }));
  });

  function undo() {
    const before = past.pop();
    if (before) pen.putImageData(before, 0, 0);
    follow();
  }

  /** @param {string} address */
  async function example(address) {
    const image = await picture(`models/${address}`);
    remember();
    fit(paper, image);
    await follow();
  }

  /** @type {{x: number, y: number} | null} */
  let last = null;
  /** @param {{x: number, y: number}} next */
  const stroke = (next) => {
    pen.strokeStyle = erasing ? palette[0] : ink.value;
    pen.lineWidth = (width.value * (erasing ? 4 : 1) * SIDE) / size;
    [pen.lineCap, pen.lineJoin] = ["round", "round"];
    pen.beginPath();
    pen.moveTo((last ?? next).x, (last ?? next).y);
    pen.lineTo(next.x, next.y);
    pen.stroke();
    last = next;
    follow();
  };
  /** @param {PointerEvent} event */
  const spot = (event) => {
    const box = paper.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * SIDE, y: ((event.clientY - box.top) / box.height) * SIDE };
  };
  paper.addEventListener("pointerdown", (event) => {
    paper.setPointerCapture(event.pointerId);
    remember();
    last = null;
    stroke(spot(event));
  });
  paper.addEventListener("pointermove", (event) => {
    if (event.buttons) for (const part of event.getCoalescedEvents?.() ?? [event]) stroke(spot(part));
  });
  // With the keyboard: arrows move the pen, with the space bar down they draw.
  let [hand, down] = [{ x: SIDE / 2, y: SIDE / 2 }, false];
  paper.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) return undo();
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === " " && !down) {
      remember();
      [down, last] = [true, null];
      stroke(hand);
    } else if (step) {
      hand = { x: Math.min(SIDE, Math.max(0, hand.x + 8 * step[0])), y: Math.min(SIDE, Math.max(0, hand.y + 8 * step[1])) };
      if (down) stroke(hand);
    } else if (event.key !== " ") return;
    event.preventDefault();
  });
  paper.addEventListener("keyup", (event) => {
    if (event.key === " ") down = false;
  });
  panel.append(element("p", { class: "hint" }, "With a keyboard: the canvas has the focus, arrows move the pen, and draw while the space bar is down."));

  async function draw() {
    const network = await load(about.networks.generator);
    const one = read(paper, size);
    const x = new Float32Array(ANSWERS * one.length);
    for (let i = 0; i < ANSWERS; i++) x.set(one, i * one.length);
    const next = uniform(noise.value);
    const feeds = { x, ...Object.fromEntries(network.noise.map((name) =>
      [name, Float32Array.from({ length: ANSWERS * network.size(name) }, next)])) };
    const result = await network.run(ANSWERS, feeds);
    if (place.isConnected) [answer, ...others].forEach((canvas, i) => show(canvas, result, i));
  }

  blank();
  return examples.length ? example(examples[0]) : follow();
}
