/** What the rooms share: a picture that follows its controls, and a walk that goes on until it is stopped. */
import { button, buttons, element, seed, slider, toggle } from "../controls.js";
import { download } from "../pictures.js";
import * as state from "../state.js";

/**
 * What export.py wrote about a chapter.
 * @typedef {{title: string, settings: Record<string, any>, networks: Record<string, import("../network.js").Stored>,
 *   directions?: number[][], examples?: {a: string, b: string}[], palettes?: {a: string[], b: string[]}, kinds?: [string, string]}} Chapter
 */

/**
 * Draws now, and once more if something changed meanwhile: pictures in between are left out, so that none comes late.
 * @param {Element} place where the time is told @param {() => Promise<void>} draw
 */
export function following(place, draw) {
  const status = element("p", { class: "status" }, "loading …"); // a screen reader need not read out each time
  place.append(status);
  let [running, again, loaded] = [false, false, false];
  const follow = async () => {
    again = true;
    if (running) return;
    running = true;
    try {
      while (again) {
        again = false;
        const start = performance.now();
        await draw();
        status.removeAttribute("role");
        status.dataset.milliseconds = (performance.now() - start).toFixed(1);
        status.textContent = `${loaded ? "" : "loaded and "}drawn in ${Math.round(performance.now() - start)} ms`;
        loaded = true;
        await new Promise((resume) => requestAnimationFrame(resume));
      }
    } catch (error) {
      status.setAttribute("role", "alert");
      status.textContent = `This did not work: ${error instanceof Error ? error.message : error}`;
      throw error;
    } finally {
      running = false;
    }
  };
  return follow;
}

/** Calls `step` with the seconds since the last call, until it is stopped or its element is gone. @param {Element} place @param {(seconds: number) => void} step */
export function loop(place, step) {
  let [request, last] = [0, 0];
  /** @param {number} now */
  const frame = (now) => {
    if (!place.isConnected) return;
    step(Math.min(0.1, (now - last) / 1000));
    last = now;
    request = requestAnimationFrame(frame);
  };
  /** @param {boolean} on */
  return (on) => {
    cancelAnimationFrame(request);
    last = performance.now();
    if (on) request = requestAnimationFrame(frame);
  };
}

/**
 * Seed, walk and download, which all rooms with a latent have.
 * @param {Element} place @param {string} chapter @param {HTMLCanvasElement} canvas @param {() => void} changed
 */
export function walking(place, chapter, canvas, changed) {
  const link = `${chapter}/README.html#the-idea`;
  const start = seed(place, "seed", { label: "Seed", value: 1, link, hint: "Decides the latent z, the random numbers that the picture is made of." }, changed);
  const way = slider(place, "way", { label: "Way to the next seed", from: 0, to: 1, step: 0.01, value: 0, link: "01_basic_gan/README.html#run-it",
    hint: "Walks on the sphere from this latent to that of the next seed. The pictures on the way are nobody's copy." }, changed);
  const bar = buttons(place, `${chapter}/README.html#run-it`);
  let walked = 0;
  const go = loop(place, (seconds) => {
    walked += seconds / 2;
    const all = way.value + walked;
    state.set("seed", start.value + Math.floor(all)); // what is shared on the way leads to where it is now
    state.set("way", (all % 1).toFixed(2));
    changed();
  });
  toggle(bar, { label: "Walk", other: "Stop", hint: "goes from seed to seed" }, (on) => {
    go(on);
    if (on) return;
    const all = way.value + walked; // where the walk has come to: the controls say so from now on, and a link leads there
    [start.value, way.value, walked] = [start.value + Math.floor(all), all % 1, 0];
    changed();
  });
  button(bar, { label: "Download", hint: "saves this picture" }, () => download(canvas, chapter));
  return { get seed() { return start.value; }, get way() { return way.value + walked; } };
}

/**
 * Sliders along the directions in z that change the picture most.
 * @param {Element} place @param {string} chapter @param {number[][]} directions @param {() => void} changed
 */
export function directed(place, chapter, directions, changed) {
  const group = element("details", { open: "" }, element("summary", {}, "Directions of the latent"));
  place.append(group);
  const sliders = directions.map((_, i) => slider(group, `d${i + 1}`, {
    label: `Direction ${i + 1}`, from: -6, to: 6, step: 0.1, value: 0, link: "docs/glossary.html#latent",
    hint: i ? "The next strongest one." : "Pushes z along the direction in which the picture changes most. What it means, nobody has told the network.",
  }, changed));
  /** @param {Float32Array} z */
  return (z) => z.map((value, i) => sliders.reduce((sum, slider, d) => sum + slider.value * directions[d][i], value));
}
