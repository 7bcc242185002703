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
  const section = element("section", { "aria-label": titles(chapters)[room] ?? room });
  place.replaceChildren(section);
  section.append(element("h2", {}, titles(chapters)[room] ?? "There is no such room"));
  if (!(room in titles(chapters))) return;
  share(section, titles(chapters)[room]);
  try {
    if (chapter && typeof WebAssembly !== "object") throw new Error("it has no WebAssembly, which runs the networks. A browser of the last five years has.");
    const { open } = await import(`./rooms/${ROOMS[room] ?? "latent"}.js`);
    await open(section, chapter, chapters[chapter]);
    section.dataset.ready = "yes";
  } catch (error) {
    section.append(element("p", { class: "status", role: "alert" }, `This browser could not open the room: ${error instanceof Error ? error.message : error}`));
    console.error(error);
  }
}

/** Sends what is on the page, as a telephone sends links, or copies its address. @param {Element} section @param {string} title */
function share(section, title) {
  const place = element("div", { class: "share" });
  const said = element("span", { role: "status" });
  button(place, { label: "Share", hint: "A link that shows somebody else just this" }, async () => {
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
  place.append(said);
  section.append(place);
}

/** @param {Record<string, import("./rooms/room.js").Chapter>} chapters @returns {Record<string, string>} */
function titles(chapters) {
  return {
    ...Object.fromEntries(Object.entries(chapters).map(([name, chapter]) => [name.slice(0, 2), chapter.title])),
    ring: "A ring of Gaussians", transport: "The transport plan of chapter 03",
  };
}

const answer = await fetch("models/models.json");
const chapters = await answer.json();
for (const [room, title] of Object.entries(titles(chapters)).sort()) {
  const tab = element("a", { href: `#room=${room}` }, /^\d/.test(room) ? `${room} ${title.split("·").at(-1)?.trim().split(":")[0]}` : title);
  tab.dataset.room = room;
  tab.addEventListener("click", (event) => {
    event.preventDefault();
    state.start(room);
    open(chapters);
  });
  tabs.append(tab);
}
window.addEventListener("popstate", () => {
  state.reread();
  open(chapters);
});
await open(chapters);
document.body.dataset.ready = "yes";
