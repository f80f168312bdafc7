// Prints for each MP4 file the codec and the number of samples of its tracks, as mp4box.js (GPAC) reads them.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { createFile, MP4BoxBuffer } = createRequire(new URL('../../web/package.json', import.meta.url))('mp4box');

const all = process.argv.slice(2).map((name) => {
  const file = createFile();
  let info;
  let wrong;
  file.onReady = (told) => (info = told);
  file.onError = (module, message) => (wrong = `${module}: ${message}`);
  const bytes = readFileSync(name);
  const buffer = new ArrayBuffer(bytes.byteLength);
  new Uint8Array(buffer).set(bytes);
  file.appendBuffer(MP4BoxBuffer.fromArrayBuffer(buffer, 0));
  file.flush();
  if (!info || wrong) throw new Error(`${name}: ${wrong ?? 'no moov'}`);
  return info.tracks.map((track) => ({ codec: track.codec, samples: file.getTrackSamplesInfo(track.id).length }));
});
console.log(JSON.stringify(all));
