/** Drawing on a sheet: pen and eraser, examples to start from, a picture of yours; with a mouse, a finger or the keyboard. */
import { button, colour, element, slider, upload } from "./controls.js";
import { picture } from "./pictures.js";
import { Sheet } from "./sheet.js";
import * as state from "./state.js";

const KEYS = "With a keyboard: while the sheet has the focus, arrows move the pen, and draw while the space bar is down. Ctrl Z takes a stroke back.";

/**
 * Makes a canvas a sheet to draw on. `examples` gives the addresses of the test pictures to start from and `palette` the colours,
 * that of the paper first, as they are now.
 * @param {HTMLCanvasElement} paper @param {{bar: Element, panel: Element, chapter: string, size: number, palette: () => string[],
 *   yours: string, examples: () => string[]}} about @param {() => Promise<void>} follow
 */
export function drawing(paper, { bar, panel, chapter, size, palette, yours, examples }, follow) {
  paper.tabIndex = 0;
  paper.setAttribute("role", "application");
  paper.setAttribute("aria-describedby", "keys");
  const hand = element("span", { class: "hand", hidden: "" });
  paper.parentElement?.append(hand);

  const sheet = new Sheet(paper, palette()[0], (number) => picture(`models/${examples()[number] ?? examples()[0]}`));
  /** The sheet has changed: the address and the answer follow. */
  const done = () => {
    if (!paper.isConnected) return Promise.resolve(); // the room was left meanwhile
    state.set("sheet", sheet.word);
    return follow();
  };
  const shelf = element("div", { class: "buttons", role: "group", "aria-label": "Examples to start from" });
  panel.append(shelf, element("p", { class: "hint" }, "Test pictures: tap one to put it on the sheet."));
  const inks = element("div");
  /** @type {{value: string}} */
  let ink = { value: "" };
  const fill = () => {
    const [ground, ...colours] = palette();
    sheet.paper = ground;
    inks.replaceChildren();
    ink = colours.length === 1 ? { value: colours[0] } : colour(inks, "ink", { label: "Ink", palette: colours, link: `${chapter}/README.html#results`,
      hint: "The colours that are offered are the commonest of the test pictures. Another one is news to the network." }, () => take("Pen"));
    shelf.replaceChildren();
    examples().forEach((address, i) => {
      const start = button(shelf, { label: "", hint: "Start from a test picture" }, () => sheet.start(i).then(done, () => {
        sheet.deeds.pop();
        shelf.append(element("p", { class: "hint", role: "alert" }, "That example did not load."));
      }));
      start.setAttribute("aria-label", `Example ${i + 1}`);
      start.append(element("img", { src: `models/${address}`, alt: "", width: "48", height: "48" }));
    });
  };
  const tools = ["Pen", "Eraser"].map((label) => button(bar, { label, hint: label === "Pen" ? "draws" : "wipes with the colour of the paper" }, () => take(label)));
  let tool = "Pen";
  /** @param {string} wanted */
  function take(wanted) {
    tool = wanted;
    for (const one of tools) one.setAttribute("aria-pressed", `${one.textContent === tool}`);
  }
  take(tool);
  button(bar, { label: "Undo", hint: "takes the last stroke back (Ctrl Z)" }, () => sheet.undo().then(done));
  button(bar, { label: "New sheet", hint: "is an empty one" }, () => sheet.start(null).then(done));
  panel.append(inks);
  const width = slider(panel, "width", { label: "Pen width", from: 0.5, to: 12, step: 0.5, value: palette().length > 2 ? 4 : 1.5,
    hint: `In pixels of the picture, which is ${size} pixels wide. The eraser is four times as wide.`, link: `${chapter}/README.html#the-idea` }, () => {});
  upload(panel, { label: "A picture of yours", hint: `${yours} It stays on this device, and no link can show it.`,
    link: `${chapter}/README.html#run-it` }, (image) => sheet.start(image).then(done));
  panel.append(element("p", { class: "hint", id: "keys" }, KEYS));

  const begin = () => sheet.begin(tool === "Pen" ? ink.value : palette()[0], (width.value / size) * (tool === "Pen" ? 1 : 4));
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
  let pen = -1; // the pointer that draws; a second finger, or the palm, does not
  paper.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pen >= 0) return;
    paper.setPointerCapture(event.pointerId);
    pen = event.pointerId;
    begin();
    spot(event);
  });
  paper.addEventListener("pointermove", (event) => {
    if (event.pointerId !== pen) return;
    const parts = event.getCoalescedEvents?.() ?? [];
    (parts.length ? parts : [event]).forEach(spot);
  });
  for (const end of /** @type {const} */ (["pointerup", "pointercancel", "lostpointercapture"])) {
    paper.addEventListener(end, (event) => {
      if (event.pointerId !== pen) return;
      pen = -1;
      done();
    });
  }

  let [x, y, down] = [0.5, 0.5, false];
  const point = () => {
    hand.style.left = `${paper.offsetLeft + x * paper.offsetWidth}px`;
    hand.style.top = `${paper.offsetTop + y * paper.offsetHeight}px`;
  };
  paper.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) sheet.undo().then(done);
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

  return {
    /** What the address says, or the first example. */
    open: () => {
      fill();
      return sheet.read(state.get("sheet", examples().length ? "e1" : "c")).then(follow);
    },
    /** The same sheet on other examples. */
    again: () => {
      fill();
      return sheet.draw().then(follow);
    },
  };
}
