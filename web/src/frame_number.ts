// Reads the frame number that a demo camera draws into its pictures: docs/demo-camera.md.

const COLUMNS = 24;
const ROWS = 2;
const HEIGHT_PARTS = 15;
const SYNC = [true, true, true, false, false, true, false, true];
const LEAST_CONTRAST = 64;

/** What an ImageData has: RGBA, four bytes a pixel, rows without gaps. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: ArrayLike<number>;
}

function crc8(number: number): number {
  let crc = 0xff;
  for (let shift = 24; shift >= 0; shift -= 8) {
    crc ^= (number >>> shift) & 0xff;
    for (let bit = 0; bit < 8; ++bit) crc = crc & 0x80 ? ((crc << 1) ^ 0x07) & 0xff : crc << 1;
  }
  return crc;
}

/** Mean brightness, 0 to 255, of the middle half of a cell: scaling and compression blur its edges. */
function cellMean(image: Pixels, column: number, row: number): number {
  const { width, height, data } = image;
  const left = Math.floor((width * (4 * column + 1)) / (4 * COLUMNS));
  const right = Math.max(left + 1, Math.floor((width * (4 * column + 3)) / (4 * COLUMNS)));
  const top = Math.floor((height * (4 * row + 1)) / (4 * HEIGHT_PARTS));
  const bottom = Math.max(top + 1, Math.floor((height * (4 * row + 3)) / (4 * HEIGHT_PARTS)));
  let sum = 0;
  for (let y = top; y < bottom; ++y) {
    for (let x = left; x < right; ++x) {
      const at = 4 * (y * width + x);
      sum += (data[at] ?? 0) + (data[at + 1] ?? 0) + (data[at + 2] ?? 0);
    }
  }
  return sum / (3 * (right - left) * (bottom - top));
}

/**
 * The frame number in a picture, or null. `image` is the whole picture at any scale down to half the camera's; its upper
 * 2/15 are enough when `height` still is that of the whole picture.
 */
export function readFrameNumber(image: Pixels): number | null {
  const means: number[] = [];
  for (let row = 0; row < ROWS; ++row) {
    for (let column = 0; column < COLUMNS; ++column) means.push(cellMean(image, column, row));
  }
  const sync = means.slice(0, SYNC.length);
  const white = Math.min(...sync.filter((_, i) => SYNC[i]));
  const black = Math.max(...sync.filter((_, i) => !SYNC[i]));
  if (white - black < LEAST_CONTRAST) return null;
  const threshold = (white + black) / 2;
  const bits = means.map((mean) => (mean > threshold ? 1 : 0));
  // Not shifts: they would make numbers from 2^31 on negative.
  const value = (from: number, to: number): number => bits.slice(from, to).reduce<number>((sum, bit) => sum * 2 + bit, 0);
  const number = value(8, 40);
  return value(40, 48) === crc8(number) ? number : null;
}

/**
 * Unix time in milliseconds at which the frame was made. Numbers come round after 2^32 frames (5.4 years at 25 frames a
 * second): of all moments the one closest to `nearMs`.
 */
export function frameTimeMs(number: number, fps: number, nearMs: number = Date.now()): number {
  const turn = 2 ** 32;
  const turns = Math.round(((nearMs / 1000) * fps - number) / turn);
  return ((number + turns * turn) * 1000) / fps;
}
