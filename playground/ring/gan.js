/**
 * A GAN in the plane, with its gradients by hand: the game of 01_basic_gan/ring.py, small enough for a page.
 * Shape letters: N points, I inputs, O outputs of a layer. A batch is one Float32Array [N · I], row by row.
 */

/** @typedef {{weight: Float32Array, bias: Float32Array, inputs: number, outputs: number}} Layer */

/**
 * Layers with tanh between them. Starts as PyTorch does: uniform up to 1 / sqrt(inputs).
 * @param {number[]} widths @param {() => number} next @returns {Layer[]}
 */
export function mlp(widths, next) {
  return widths.slice(1).map((outputs, i) => {
    const inputs = widths[i];
    const draw = () => (2 * next() - 1) / Math.sqrt(inputs);
    return { inputs, outputs, weight: Float32Array.from({ length: outputs * inputs }, draw), bias: Float32Array.from({ length: outputs }, draw) };
  });
}

/**
 * The activations in front of each layer, and the output last.
 * @param {Layer[]} layers @param {Float32Array} x
 */
export function forward(layers, x) {
  const activations = [x];
  layers.forEach(({ weight, bias, inputs, outputs }, depth) => {
    const before = activations[depth];
    const n = before.length / inputs;
    const after = new Float32Array(n * outputs);
    for (let row = 0; row < n; row++) {
      for (let o = 0; o < outputs; o++) {
        let sum = bias[o];
        for (let i = 0; i < inputs; i++) sum += weight[o * inputs + i] * before[row * inputs + i];
        after[row * outputs + o] = depth < layers.length - 1 ? Math.tanh(sum) : sum;
      }
    }
    activations.push(after);
  });
  return activations;
}

/**
 * The chain rule, from the last layer to the first. `gradient` is dL/d(output) [N · O].
 * @param {Layer[]} layers @param {Float32Array[]} activations of `forward` @param {Float32Array} gradient
 * @returns {{input: Float32Array, weights: Float32Array[]}} dL/d(input), and dL/d(weight), dL/d(bias) of each layer in turn
 */
export function backward(layers, activations, gradient) {
  /** @type {Float32Array[]} */
  const weights = [];
  for (let depth = layers.length - 1; depth >= 0; depth--) {
    const { weight, inputs, outputs } = layers[depth];
    const before = activations[depth];
    const [dWeight, dBias, dBefore] = [new Float32Array(weight.length), new Float32Array(outputs), new Float32Array(before.length)];
    for (let row = 0; row < before.length / inputs; row++) {
      for (let o = 0; o < outputs; o++) {
        const slope = gradient[row * outputs + o];
        dBias[o] += slope;
        for (let i = 0; i < inputs; i++) {
          dWeight[o * inputs + i] += slope * before[row * inputs + i];
          dBefore[row * inputs + i] += slope * weight[o * inputs + i];
        }
      }
    }
    if (depth > 0) for (let i = 0; i < before.length; i++) dBefore[i] *= 1 - before[i] ** 2; // tanh' = 1 - tanh²
    weights.unshift(dWeight, dBias);
    gradient = dBefore;
  }
  return { input: gradient, weights };
}

/** @param {number} x */
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
/** log(1 + exp(x)), without overflow @param {number} x */
const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/**
 * Each loss of a logit and its derivative: D on real and on generated points, and G.
 * @type {Record<string, Record<"real" | "fake" | "generator", (logit: number) => [number, number]>>}
 */
export const LOSSES = {
  "non-saturating": { // -log D(x), -log(1 - D(G(z))), -log D(G(z))
    real: (x) => [softplus(-x), -sigmoid(-x)],
    fake: (x) => [softplus(x), sigmoid(x)],
    generator: (x) => [softplus(-x), -sigmoid(-x)],
  },
  saturating: { // Eq. 1 to the letter: G minimises log(1 - D(G(z)))
    real: (x) => [softplus(-x), -sigmoid(-x)],
    fake: (x) => [softplus(x), sigmoid(x)],
    generator: (x) => [-softplus(x), -sigmoid(x)],
  },
  hinge: { // chapter 02
    real: (x) => [Math.max(0, 1 - x), x < 1 ? -1 : 0],
    fake: (x) => [Math.max(0, 1 + x), x > -1 ? 1 : 0],
    generator: (x) => [-x, -1],
  },
};

/** The mean of a loss over logits [N], and its gradient [N]. @param {(logit: number) => [number, number]} loss @param {Float32Array} logits */
export function mean(loss, logits) {
  const both = Array.from(logits, loss);
  return { value: both.reduce((sum, [value]) => sum + value, 0) / both.length, gradient: Float32Array.from(both, ([, slope]) => slope / both.length) };
}

/** Adam (arXiv:1412.6980), with β as in ring.py. @param {Layer[]} layers */
export function adam(layers, beta1 = 0.5, beta2 = 0.999) {
  const parameters = layers.flatMap(({ weight, bias }) => [weight, bias]);
  const [first, second] = [1, 2].map(() => parameters.map((values) => new Float32Array(values.length)));
  let t = 0;
  /** @param {Float32Array[]} gradients @param {number} rate */
  return (gradients, rate) => {
    t++;
    parameters.forEach((values, p) => {
      for (let i = 0; i < values.length; i++) {
        first[p][i] += (1 - beta1) * (gradients[p][i] - first[p][i]);
        second[p][i] += (1 - beta2) * (gradients[p][i] ** 2 - second[p][i]);
        values[i] -= (rate * (first[p][i] / (1 - beta1 ** t))) / (Math.sqrt(second[p][i] / (1 - beta2 ** t)) + 1e-8);
      }
    });
  };
}

/**
 * One step of Algorithm 1: first the discriminator, then the generator. Returns both losses.
 * @param {{generator: Layer[], discriminator: Layer[], stepG: ReturnType<typeof adam>, stepD: ReturnType<typeof adam>}} game
 * @param {{real: Float32Array, z: Float32Array, again: Float32Array}} batch @param {{loss: string, rateG: number, rateD: number}} settings
 */
export function step(game, batch, settings) {
  const { generator, discriminator } = game;
  const loss = LOSSES[settings.loss];

  // (1) Discriminator: real points up, generated ones down
  const seenReal = forward(discriminator, batch.real);
  const seenFake = forward(discriminator, /** @type {Float32Array} */ (forward(generator, batch.z).at(-1)));
  const real = mean(loss.real, /** @type {Float32Array} */ (seenReal.at(-1)));
  const fake = mean(loss.fake, /** @type {Float32Array} */ (seenFake.at(-1)));
  const ofReal = backward(discriminator, seenReal, real.gradient).weights;
  const ofFake = backward(discriminator, seenFake, fake.gradient).weights;
  game.stepD(ofReal.map((values, i) => values.map((value, j) => value + ofFake[i][j])), settings.rateD);

  // (2) Generator: through the discriminator, whose own gradients are not used
  const made = forward(generator, batch.again);
  const seen = forward(discriminator, /** @type {Float32Array} */ (made.at(-1)));
  const wish = mean(loss.generator, /** @type {Float32Array} */ (seen.at(-1)));
  game.stepG(backward(generator, made, backward(discriminator, seen, wish.gradient).input).weights, settings.rateG);
  return { lossD: real.value + fake.value, lossG: wish.value };
}
