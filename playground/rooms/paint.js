/** Chapter 05: a sheet to draw on, and the translator that follows the pen. */
import { button, canvas, colour, element, seed, slider, upload } from "../controls.js";
import { load } from "../network.js";
import { download, picture, read, show } from "../pictures.js";
import { uniform } from "../random.js";
import { Sheet } from "../sheet.js";
import * as state from "../state.js";
import { following } from "./room.js";

const ANSWERS = 4;
const KEYS = "With a keyboard: while the sheet has the focus, arrows move the pen, and draw while the space bar is down. Ctrl Z takes a stroke back.";

/** @param {Element} place @param {string} chapter @param {import("./room.js").Chapter} about */
export function open(place, chapter, about) {
  const size = Number(about.settings.size);
  const forwards = about.settings.direction === "AtoB";
  const examples = (about.examples ?? []).map((pair) => pair[forwards ? "a" : "b"]);
  const palette = about.palette ?? ["#ffffff", "#000000"];
  const link = `${chapter}/README.html#the-idea`;
  const [a, b] = about.kinds ?? ["A", "B"];
  const [from, to] = forwards ? [a, b] : [b, a];

  const row = element("div", { class: "row sheet" });
  const bar = element("div", { class: "buttons" });
  place.append(row, bar);
  const paper = canvas(row, `Your ${from}: draw here`, "paper");
  paper.tabIndex = 0;
  paper.setAttribute("role", "application");
  paper.setAttribute("aria-describedby", "keys");
  const hand = element("span", { class: "hand", hidden: "" });
  paper.parentElement?.append(hand);
  const answer = canvas(row, `The answer: a ${to}`);
  const more = element("div", { class: "row three" });
  place.append(more);
  const others = Array.from({ length: ANSWERS - 1 }, (_, i) => canvas(more, `Another answer (${i + 2})`, "small"));
  const follow = following(place, draw);
  const panel = element("div", { class: "panel" });
  place.append(panel);

  const sheet = new Sheet(paper, palette[0], (number) => picture(`models/${examples[number] ?? examples[0]}`));
  /** The sheet has changed: the address and the answer follow. */
  const done = () => {
    state.set("sheet", sheet.word);
    return follow();
  };
  const shelf = element("div", { class: "buttons", role: "group", "aria-label": "Examples to start from" });
  examples.forEach((address, i) => {
    const start = button(shelf, { label: "", hint: "Start from a test picture" }, () => sheet.start(i).then(done));
    start.setAttribute("aria-label", `Example ${i + 1}`);
    start.append(element("img", { src: `models/${address}`, alt: "", width: "48", height: "48" }));
  });
  panel.append(shelf);
  const tools = ["Pen", "Eraser"].map((label) => button(bar, { label, hint: label === "Pen" ? "Draw" : "Wipe with the colour of the paper" }, () => take(label)));
  let tool = "Pen";
  /** @param {string} wanted */
  function take(wanted) {
    tool = wanted;
    for (const one of tools) one.setAttribute("aria-pressed", `${one.textContent === tool}`);
  }
  take(tool);
  button(bar, { label: "Undo", hint: "Take the last stroke back (Ctrl Z)" }, () => sheet.undo().then(done));
  button(bar, { label: "New sheet", hint: "An empty one" }, () => sheet.start(null).then(done));
  button(bar, { label: "Download", hint: "Save the answer" }, () => download(answer, chapter));
  const ink = palette.length > 2 ? colour(panel, "ink", { label: "Ink", palette: palette.slice(1), link: `${chapter}/README.html#results`,
    hint: "The colours that are offered are the commonest of the test pictures. Another one is news to the network." }, () => take("Pen")) : { value: palette[1] };
  const width = slider(panel, "width", { label: "Pen width", from: 0.5, to: 12, step: 0.5, value: palette.length > 2 ? 8 : 1.5,
    hint: `In pixels of the picture, which is ${size} pixels wide. The eraser is four times as wide.`, link }, () => {});
  const noise = seed(panel, "noise-seed", { label: "Seed of the dropout", value: 1, link: `${chapter}/README.html#the-mathematics`,
    hint: "Dropout is the only noise of this network. Other dropout, another answer, but not a very different one." }, follow);
  upload(panel, { label: "A picture of yours", hint: `A ${from}, whose middle square is taken. It stays on this device, and no link can show it.`,
    link: `${chapter}/README.html#run-it` }, (image) => sheet.start(image).then(done));
  panel.append(element("p", { class: "hint", id: "keys" }, KEYS));

  const begin = () => sheet.begin(tool === "Pen" ? ink.value : palette[0], (width.value / size) * (tool === "Pen" ? 1 : 4));
  /** @param {number} x @param {number} y */
  const stroke = (x, y) => {
    sheet.to(x, y);
    follow();
  };
  /** @param {PointerEvent} event */
  const spot = (event) => {
    const box = paper.getBoundingClientRect();
    stroke((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  let drawing = false;
  paper.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || !event.isPrimary) return;
    paper.setPointerCapture(event.pointerId);
    drawing = true;
    begin();
    spot(event);
  });
  paper.addEventListener("pointermove", (event) => {
    if (!drawing || !event.isPrimary) return;
    const parts = event.getCoalescedEvents?.() ?? [];
    (parts.length ? parts : [event]).forEach(spot);
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
    paper.addEventListener(end, () => {
      if (drawing) done();
      drawing = false;
    });
  }

  let [x, y, down] = [0.5, 0.5, false];
  const point = () => {
    hand.style.left = `${paper.offsetLeft + x * paper.offsetWidth}px`;
    hand.style.top = `${paper.offsetTop + y * paper.offsetHeight}px`;
  };
  paper.addEventListener("keydown", (event) => {
    if (event.key === "z" && (event.ctrlKey || event.metaKey)) sheet.undo().then(done);
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === " " && !down) {
      down = true;
      begin();
      stroke(x, y);
    } else if (step) {
      [x, y] = [x + step[0] / size, y + step[1] / size].map((value) => Math.min(1, Math.max(0, value)));
      if (down) stroke(x, y);
    } else if (event.key !== " ") return;
    hand.hidden = false;
    point();
    event.preventDefault();
  });
  const lift = () => {
    if (down) done();
    down = false;
  };
  paper.addEventListener("keyup", (event) => event.key === " " && lift());
  paper.addEventListener("blur", () => {
    lift();
    hand.hidden = true;
  });

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

  return sheet.read(state.get("sheet", examples.length ? "e1" : "c")).then(follow);
}
