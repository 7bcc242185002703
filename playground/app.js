/** The page: one room at a time, chosen by the tabs and by the address. */
import { button, element } from "./controls.js";
import * as state from "./state.js";

/** Which file shows a chapter. What it shows is read from models.json. @type {Record<string, string>} */
const ROOMS = { "05": "paint", "06": "translate", "08": "styles", ring: "ring", transport: "transport" };

const place = /** @type {HTMLElement} */ (document.querySelector("main"));
const tabs = /** @type {HTMLElement} */ (document.querySelector("nav"));

/** @param {Record<string, import("./rooms/room.js").Chapter>} chapters */
async function open(chapters) {
  const room = state.get("room", "05");
  for (const tab of tabs.querySelectorAll("a")) {
    if (tab.dataset.room === room) {
      tab.setAttribute("aria-current", "page");
      tabs.scrollTo({ left: tab.offsetLeft - tabs.offsetLeft - 24 }); // on a telephone the row is wider than the page
    } else tab.removeAttribute("aria-current");
  }
  const chapter = Object.keys(chapters).find((name) => name.startsWith(room)) ?? "";
  const title = Object.hasOwn(titles(chapters), room) ? titles(chapters)[room] : "There is no such room";
  const section = element("section", { "aria-label": title });
  document.title = `${title} · Playground`;
  place.replaceChildren(section);
  section.append(element("h2", { tabindex: "-1" }, title));
  if (!Object.hasOwn(titles(chapters), room)) return;
  share(section, title);
  try {
    if (chapter && typeof WebAssembly !== "object") throw new Error("this browser has no WebAssembly, which runs the networks.");
    const old = !window.HTMLScriptElement.supports?.("importmap") || !Array.prototype.findLastIndex;
    if (chapter && old) throw new Error("this browser is too old for the networks. Chrome 97, Firefox 108, Safari 16.4 and newer ones run them.");
    const { open } = await import(`./rooms/${ROOMS[room] ?? "latent"}.js`);
    if (!section.isConnected) return; // left while it was loaded
    await open(section, chapter, chapters[chapter]);
    section.dataset.ready = "yes";
  } catch (error) {
    const said = `The room did not open: ${error instanceof Error ? error.message : error}`;
    if (!section.querySelector("[role=alert]")) section.append(element("p", { class: "status", role: "alert" }, said));
    console.error(error);
  }
}

/** Sends what is on the page, as a telephone sends links, or copies its address. @param {Element} section @param {string} title */
function share(section, title) {
  const place = element("div", { class: "share" });
  const said = element("span", { role: "status" });
  button(place, { label: "Share", hint: "A link that opens this room with these settings" }, async () => {
    const url = state.link();
    try {
      if (navigator.share && matchMedia("(pointer: coarse)").matches) await navigator.share({ title, url });
      else {
        await navigator.clipboard.writeText(url);
        said.textContent = "The link is copied.";
      }
    } catch (error) {
      if (!(error instanceof DOMException && error.name === "AbortError")) said.textContent = "The link is in the address bar: copy it from there.";
    }
  });
  place.append(element("span", { class: "hint" }, "A link that opens this room with these settings. "), said);
  section.append(place);
}

/** @param {Record<string, import("./rooms/room.js").Chapter>} chapters @returns {Record<string, string>} */
function titles(chapters) {
  return {
    ...Object.fromEntries(Object.entries(chapters).map(([name, chapter]) => [name.slice(0, 2), chapter.title])),
    ring: "A ring of Gaussians", transport: "The transport plan of chapter 03",
  };
}

const answer = await fetch("models/models.json").catch(() => null);
if (!answer?.ok) {
  place.textContent = "The list of networks did not load. Check the connection, and load the page again.";
  throw new Error("models/models.json did not load");
}
const chapters = await answer.json();
for (const [room, title] of Object.entries(titles(chapters)).sort()) {
  const tab = element("a", { href: `#room=${room}` }, /^\d/.test(room) ? `${room} ${title.split("·").at(-1)?.trim().split(":")[0]}` : title);
  tab.dataset.room = room;
  tab.addEventListener("click", (event) => {
    event.preventDefault();
    state.start(room);
    open(chapters);
    place.querySelector("h2")?.focus(); // so that a screen reader says which room this is
  });
  tabs.append(tab);
}
window.addEventListener("popstate", () => {
  state.reread();
  open(chapters);
});
await open(chapters);
document.body.dataset.ready = "yes";
