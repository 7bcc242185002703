/** Pictures on their way in and out: [-1, 1] in the networks, 0 to 255 on the screen. As common/images.py. */

/** @typedef {import("./network.js").Result} Result */

/**
 * Shows one picture of a result [N, C, H, W] on a canvas.
 * @param {HTMLCanvasElement} canvas @param {Result} result @param {number} [index]
 */
export function show(canvas, result, index = 0) {
  const [, channels, height, width] = result.dims;
  const pixels = new ImageData(width, height);
  const area = width * height;
  for (let i = 0; i < area; i++) {
    for (let colour = 0; colour < 3; colour++) {
      const value = result.data[(index * channels + (channels === 3 ? colour : 0)) * area + i];
      pixels.data[4 * i + colour] = Math.round((value + 1) * 127.5); // clamped by its type
    }
    pixels.data[4 * i + 3] = 255;
  }
  [canvas.width, canvas.height] = [width, height];
  context(canvas).putImageData(pixels, 0, 0);
}

/** @param {HTMLCanvasElement} canvas */
export function context(canvas) {
  const found = canvas.getContext("2d", { willReadFrequently: true });
  if (!found) throw new Error("This browser cannot draw on a canvas.");
  return found;
}

/**
 * A canvas as a picture [3, size, size] in [-1, 1]; each pixel is the mean of a square of the canvas.
 * @param {HTMLCanvasElement} canvas @param {number} size
 */
export function read(canvas, size) {
  const pixels = context(canvas).getImageData(0, 0, canvas.width, canvas.height).data;
  const step = canvas.width / size;
  const picture = new Float32Array(3 * size * size);
  for (let colour = 0; colour < 3; colour++) {
    for (let row = 0; row < size; row++) {
      for (let column = 0; column < size; column++) {
        let sum = 0;
        for (let y = row * step; y < (row + 1) * step; y++) {
          for (let x = column * step; x < (column + 1) * step; x++) sum += pixels[4 * (y * canvas.width + x) + colour];
        }
        picture[(colour * size + row) * size + column] = sum / step ** 2 / 127.5 - 1;
      }
    }
  }
  return picture;
}

/** @param {string} address @returns {Promise<HTMLImageElement>} */
export async function picture(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return image;
}

/** The middle square of an image on a canvas; enlarged without blur, so that `read` finds its pixels again. @param {HTMLCanvasElement} canvas @param {HTMLImageElement | ImageBitmap} image */
export function fit(canvas, image) {
  const side = Math.min(image.width, image.height);
  const pen = context(canvas);
  pen.imageSmoothingEnabled = side > canvas.width;
  pen.drawImage(image, (image.width - side) / 2, (image.height - side) / 2, side, side, 0, 0, canvas.width, canvas.height);
}

/** Offers a canvas as a file, enlarged without blur. @param {HTMLCanvasElement} canvas @param {string} name */
export function download(canvas, name) {
  const large = document.createElement("canvas");
  const scale = Math.max(1, Math.round(512 / canvas.width));
  [large.width, large.height] = [canvas.width * scale, canvas.height * scale];
  const pen = context(large);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(canvas, 0, 0, large.width, large.height);
  const link = document.createElement("a");
  link.href = large.toDataURL("image/png");
  link.download = `${name}.png`;
  link.click();
}
