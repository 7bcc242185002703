/** A sheet to draw on. It is a list of deeds: the last one can be taken back, and all of them fit into the address. */
import { context, fit } from "./pictures.js";

const SIDE = 512; // pixels of the canvas: strokes are drawn large, and averaged down to the size of the training
const GRID = 256; // places of a point on each side: a byte

/**
 * Another sheet (a number: that example; an image: a picture of yours; else a blank one), or a stroke of points x, y, x, y, …
 * @typedef {{base: number | ImageBitmap | null}} Base
 * @typedef {{ink: string, width: number, points: number[]}} Stroke
 */

export class Sheet {
  /** @param {HTMLCanvasElement} canvas @param {string} paper its colour @param {(number: number) => Promise<HTMLImageElement>} example */
  constructor(canvas, paper, example) {
    [canvas.width, canvas.height] = [SIDE, SIDE];
    this.canvas = canvas;
    this.pen = context(canvas);
    this.paper = paper;
    this.example = example;
    /** @type {(Base | Stroke)[]} */
    this.deeds = [];
    /** The stroke that the pen is drawing. @type {Stroke | null} */
    this.stroke = null;
    this.turn = 0;
    this.blank();
  }

  blank() {
    this.pen.fillStyle = this.paper;
    this.pen.fillRect(0, 0, SIDE, SIDE);
  }

  /** Begins a stroke; `width` is a share of the sheet. @param {string} ink @param {number} width */
  begin(ink, width) {
    this.stroke = { ink, width: Math.round(width * SIDE), points: [] };
    this.deeds.push(this.stroke);
  }

  /** Goes on with it to a place, from 0 to 1 each way. @param {number} x @param {number} y */
  to(x, y) {
    const { stroke } = this;
    if (!stroke || stroke !== this.deeds.at(-1)) return; // taken back while the pen was down
    const [column, row] = [x, y].map((value) => Math.min(GRID - 1, Math.max(0, Math.floor(value * GRID))));
    const { points } = stroke;
    if (points.at(-2) === column && points.at(-1) === row) return;
    points.push(column, row);
    this.#line(stroke, points.length - 2);
  }

  /** The part of a stroke that ends at this place. @param {Stroke} stroke @param {number} last */
  #line({ ink, width, points }, last) {
    const { pen } = this;
    const at = (/** @type {number} */ i) => ((points[i] + 0.5) * SIDE) / GRID;
    [pen.strokeStyle, pen.lineWidth, pen.lineCap, pen.lineJoin] = [ink, width, "round", "round"];
    pen.beginPath();
    pen.moveTo(at(Math.max(0, last - 2)), at(Math.max(0, last - 2) + 1));
    pen.lineTo(at(last), at(last + 1));
    pen.stroke();
  }

  /** Another sheet. @param {Base["base"]} base */
  async start(base) {
    this.deeds.push({ base });
    await this.draw();
  }

  async undo() {
    if (this.deeds.length > 1) this.deeds.pop(); // the first one is the sheet
    await this.draw();
  }

  /** All that was done since the last new sheet. */
  async draw() {
    const { deeds } = this;
    const turn = ++this.turn;
    const first = deeds.findLastIndex((deed) => "base" in deed);
    const base = first < 0 ? null : /** @type {Base} */ (deeds[first]).base;
    const image = typeof base === "number" ? await this.example(base) : base;
    if (turn !== this.turn) return; // another one was asked for while it came
    this.blank();
    if (image) fit(this.canvas, image);
    for (const deed of deeds.slice(first + 1)) {
      if ("points" in deed) for (let i = 0; i < deed.points.length; i += 2) this.#line(deed, i);
    }
  }

  /** The sheet as a word for the address, without a picture of yours. */
  get word() {
    const first = this.deeds.findLastIndex((deed) => "base" in deed);
    return this.deeds.slice(Math.max(0, first)).map((deed) => {
      if ("base" in deed) return typeof deed.base === "number" ? `e${deed.base + 1}` : "c";
      const bytes = btoa(String.fromCharCode(...deed.points)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
      return `${deed.ink.slice(1)}w${deed.width}-${bytes}`;
    }).join(".");
  }

  /** @param {string} word what `word` gave; what cannot be read is left out */
  async read(word) {
    this.deeds = [];
    for (const part of word.split(".")) {
      const [, ink, width, bytes] = part.match(/^([0-9a-f]{6})w(\d+)-([\w-]*)$/) ?? [];
      if (part === "c") this.deeds.push({ base: null });
      else if (/^e\d+$/.test(part)) this.deeds.push({ base: Number(part.slice(1)) - 1 });
      else if (ink && bytes.length % 4 !== 1) {
        const text = atob(bytes.replaceAll("-", "+").replaceAll("_", "/"));
        this.deeds.push({ ink: `#${ink}`, width: Number(width), points: Array.from(text, (sign) => sign.charCodeAt(0)) });
      }
    }
    if (!this.deeds.length || !("base" in this.deeds[0])) this.deeds.unshift({ base: null });
    await this.draw();
  }
}
