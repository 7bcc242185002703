/** Exported generators, run by ONNX Runtime Web. A file is loaded when its chapter is opened, and then kept. */
import * as ort from "onnxruntime-web/wasm";

ort.env.wasm.numThreads = 1; // several threads need headers that a static site cannot send

/**
 * What export.py wrote about a file.
 * @typedef {{file: string, bytes: number, inputs: Record<string, (number | null)[]>, output: string}} Stored
 * @typedef {{data: Float32Array, dims: readonly number[]}} Result
 */

export class Network {
  /** @param {ort.InferenceSession} session @param {Stored} stored */
  constructor(session, stored) {
    this.session = session;
    this.stored = stored;
    /** @type {Promise<unknown>} */
    this.last = Promise.resolve();
  }

  /** How many numbers one example of an input has. @param {string} name */
  size(name) {
    return this.stored.inputs[name].slice(1).reduce((product, side) => Number(product) * Number(side), 1) ?? 1;
  }

  /** The names of the inputs that are noise. */
  get noise() {
    return Object.keys(this.stored.inputs).filter((name) => name.startsWith("noise_"));
  }

  /**
   * Runs the network. One run waits for the last one, as a session is not made for two at a time.
   * @param {number} count examples @param {Record<string, Float32Array>} inputs
   * @returns {Promise<Result>}
   */
  run(count, inputs) {
    const feeds = Object.fromEntries(Object.entries(this.stored.inputs).map(([name, shape]) =>
      [name, new ort.Tensor("float32", inputs[name], shape.map((side) => side ?? count))]));
    const result = this.last.then(() => this.session.run(feeds)).then((outputs) => {
      const tensor = outputs[this.stored.output];
      return { data: /** @type {Float32Array} */ (tensor.data), dims: tensor.dims };
    });
    this.last = result.catch(() => {});
    return result;
  }
}

/** @type {Map<string, Promise<Network>>} */
const kept = new Map();

/** @param {Stored} stored @returns {Promise<Network>} */
export function load(stored) {
  let network = kept.get(stored.file);
  if (!network) {
    network = ort.InferenceSession.create(`models/${stored.file}`, { executionProviders: ["wasm"] })
      .then((session) => new Network(session, stored))
      .catch((error) => {
        kept.delete(stored.file); // ONNX Runtime itself does not try again before the page is loaded anew
        throw new Error(`the network did not load (${error.message}). Check the connection, and load this page again.`);
      });
    kept.set(stored.file, network);
  }
  return network;
}
