/** What the address says: #room=08&seed=5. So every state of the page can be sent as a link. */

/** @type {URLSearchParams} */
let values = new URLSearchParams(location.hash.slice(1));

/** @param {string} name @param {string} standard @returns {string} */
export const get = (name, standard) => values.get(name) ?? standard;

/** @param {string} name @param {number} standard @returns {number} */
export function number(name, standard) {
  const value = Number.parseFloat(values.get(name) ?? "");
  return Number.isFinite(value) ? value : standard;
}

let waiting = 0;

/** Browsers refuse a page that writes its address too often, so a moving slider writes it when it rests. @param {string} name @param {string | number} value */
export function set(name, value) {
  values.set(name, String(value));
  clearTimeout(waiting);
  waiting = setTimeout(link, 200);
}

/** The address of what is on the page now. */
export function link() {
  clearTimeout(waiting);
  history.replaceState(null, "", `#${values}`);
  return location.href;
}

/** Another room: its controls start from their defaults. @param {string} room */
export function start(room) {
  link(); // of the room that is left, so that going back finds it as it was
  values = new URLSearchParams({ room });
  history.pushState(null, "", `#${values}`);
}

/** Reads the address anew, as when somebody pastes another one. */
export function reread() {
  clearTimeout(waiting);
  values = new URLSearchParams(location.hash.slice(1));
}
