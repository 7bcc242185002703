/** Random numbers that a seed decides, so that a link shows everybody the same picture. */

/** Numbers from [0, 1): the generator "mulberry32". @param {number} seed @returns {() => number} */
export function uniform(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Standard normal numbers (Box and Muller). @param {number} count @param {() => number} next */
export function normal(count, next) {
  return Float32Array.from({ length: count }, () =>
    Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()));
}

/** A latent z of so many numbers. @param {number} count @param {number} seed */
export const latent = (count, seed) => normal(count, uniform(seed));

/**
 * From one latent (t = 0) to another (t = 1) on the sphere: `slerp` of chapter 01.
 * @param {Float32Array} first @param {Float32Array} second @param {number} t
 */
export function slerp(first, second, t) {
  let [dot, a, b] = [0, 0, 0];
  for (let i = 0; i < first.length; i++) {
    dot += first[i] * second[i];
    a += first[i] ** 2;
    b += second[i] ** 2;
  }
  const omega = Math.acos(Math.min(1, Math.max(-1, dot / Math.sqrt(a * b))));
  const sine = Math.sin(omega);
  const straight = sine < 1e-3; // parallel: the straight line is the only way
  const [left, right] = straight ? [1 - t, t] : [Math.sin((1 - t) * omega) / sine, Math.sin(t * omega) / sine];
  return first.map((value, i) => left * value + right * second[i]);
}

/**
 * Where a walk through the latents of seeds seed, seed + 1, … is after `way` steps from stop to stop.
 * @param {number} count @param {number} seed @param {number} way @param {typeof latent} [stops] what is at the stop of a seed
 */
export function onTheWay(count, seed, way, stops = latent) {
  const stop = Math.floor(way);
  return slerp(stops(count, seed + stop), stops(count, seed + stop + 1), way - stop);
}
