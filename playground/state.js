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

/** @param {string} name @param {string | number} value */
export function set(name, value) {
  values.set(name, String(value));
  history.replaceState(null, "", `#${values}`);
}

/** Another room: its controls start from their defaults. @param {string} room */
export function start(room) {
  values = new URLSearchParams({ room });
  history.pushState(null, "", `#${values}`);
}

/** Reads the address anew, as when somebody pastes another one. */
export function reread() {
  values = new URLSearchParams(location.hash.slice(1));
}
