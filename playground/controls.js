/** The controls of a room. Each has a label, one sentence on what it shows, and the place in the course that explains it. */
import * as state from "./state.js";

/** @typedef {{label: string, hint: string, link?: string}} Words */

let count = 0;

/**
 * An element with attributes and children.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, string>} [attributes] @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** @param {Element} place @param {Words} words @param {HTMLElement} input @param {...Node} after */
function control(place, words, input, ...after) {
  const id = `control-${++count}`;
  input.id = id;
  input.setAttribute("aria-describedby", `${id}-hint`);
  const hint = element("p", { class: "hint", id: `${id}-hint` }, words.hint);
  if (words.link) hint.append(" ", element("a", { href: `../${words.link}`, "aria-label": `${words.label}: in the course` }, "In the course"));
  place.append(element("div", { class: "control" }, element("label", { for: id }, words.label), ...after, input, hint));
}

/**
 * @param {Element} place @param {string} name @param {Words & {from: number, to: number, step: number, value: number}} words
 * @param {(value: number) => void} changed
 */
export function slider(place, name, words, changed) {
  const value = state.number(name, words.value);
  const input = element("input", { type: "range", min: `${words.from}`, max: `${words.to}`, step: `${words.step}`, value: `${value}` });
  const shown = element("output", { "aria-live": "off" }, input.value); // the slider itself is read out
  input.addEventListener("input", () => {
    shown.value = input.value;
    state.set(name, input.value);
    changed(input.valueAsNumber);
  });
  control(place, words, input, shown);
  return { get value() { return input.valueAsNumber; }, set value(next) {
    input.value = `${next}`;
    shown.value = input.value;
    state.set(name, input.value);
  } };
}

/**
 * One of several; `shown` has the text of each option, unless it is the option itself.
 * @param {Element} place @param {string} name @param {Words & {options: string[], value: string, shown?: string[]}} words @param {() => void} changed
 */
export function choice(place, name, words, changed) {
  const input = element("select", {}, ...words.options.map((option, i) => element("option", { value: option }, words.shown?.[i] ?? option)));
  const wanted = state.get(name, words.value);
  input.value = words.options.includes(wanted) ? wanted : words.value;
  input.addEventListener("change", () => {
    state.set(name, input.value);
    changed();
  });
  control(place, words, input);
  return { get value() { return input.value; } };
}

/** A colour, of a palette or any other. @param {Element} place @param {string} name @param {Words & {palette: string[]}} words @param {() => void} changed */
export function colour(place, name, words, changed) {
  const list = element("datalist", { id: `${name}-palette` }, ...words.palette.map((value) => element("option", { value })));
  const input = element("input", { type: "color", value: state.get(name, words.palette[0]), list: list.id });
  input.addEventListener("input", () => {
    state.set(name, input.value);
    changed();
  });
  control(place, words, input);
  place.append(list);
  return { get value() { return input.value; } };
}

/** A whole number with a button that takes the next one. @param {Element} place @param {string} name @param {Words & {value: number}} words @param {() => void} changed */
export function seed(place, name, words, changed) {
  const input = element("input", { type: "number", min: "0", max: "999999", step: "1", value: `${state.number(name, words.value)}` });
  const value = () => Math.max(0, Math.floor(input.valueAsNumber || 0));
  const tell = () => {
    state.set(name, value());
    changed();
  };
  input.addEventListener("input", tell);
  const next = element("button", { type: "button", "aria-label": `Next ${words.label.toLowerCase()}` }, "next");
  next.addEventListener("click", () => {
    input.value = `${value() + 1}`;
    tell();
  });
  control(place, words, input, next);
  return { get value() { return value(); }, set value(wanted) {
    input.value = `${wanted}`;
    state.set(name, wanted);
  } };
}

/** A row of buttons; the line below says what each does, and where the course explains it. @param {Element} place @param {string} link */
export function buttons(place, link) {
  const bar = element("div", { class: "buttons" });
  const told = element("p", { class: "hint told" }, element("a", { href: `../${link}`, "aria-label": "These buttons: in the course" }, "In the course"));
  place.append(bar, told);
  return bar;
}

/** @param {Element} place @param {Words} words @param {() => void} pressed */
export function button(place, words, pressed) {
  const made = element("button", { type: "button", title: words.hint }, words.label);
  made.addEventListener("click", pressed);
  place.append(made);
  const told = place.nextElementSibling;
  if (told?.matches(".told")) told.insertBefore(document.createTextNode(`${words.label} ${words.hint}. `), told.lastChild);
  return made;
}

/** A switch between two states, such as walk and stop. @param {Element} place @param {Words & {other: string}} words @param {(on: boolean) => void} changed */
export function toggle(place, words, changed) {
  let on = false; // no aria-pressed: the name changes, and "Stop, pressed" would say that it has stopped
  const made = button(place, words, () => {
    on = !on;
    made.dataset.on = `${on}`;
    made.textContent = on ? words.other : words.label;
    changed(on);
  });
  return made;
}

/** A picture of yours. It is read here, and sent nowhere. @param {Element} place @param {Words} words @param {(image: ImageBitmap) => void} chosen */
export function upload(place, words, chosen) {
  const input = element("input", { type: "file", accept: "image/*" });
  const said = element("p", { class: "hint", role: "alert" });
  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    try {
      if (file) chosen(await createImageBitmap(file));
      said.textContent = "";
    } catch {
      said.textContent = "This browser cannot read that file as a picture. Try a JPEG or PNG.";
    }
    input.value = ""; // the same file can be chosen again
  });
  control(place, words, input);
  place.append(said);
}

/** A canvas with a name for screen readers and a caption. @param {Element} place @param {string} caption @param {string} [kind] */
export function canvas(place, caption, kind = "picture") {
  const made = element("canvas", { width: "64", height: "64", role: "img", "aria-label": caption, class: kind });
  place.append(element("figure", {}, made, element("figcaption", {}, caption)));
  return made;
}
