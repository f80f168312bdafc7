// Every picture of a recording is at its wall-clock time: across a gap, two changes of the picture's size and the border
// of an hour, in fMP4 and MPEG-TS, with sound and without, by seeking, by playing on and from a cold start at each chunk.
//   MIHARU_BIN=... MIHARU_MAKE_RECORDING=... node --test test/browser/recording.test.mjs
// MIHARU_FULL=1 starts at every chunk instead of a few; MIHARU_SEED=N chooses the same few as the run that told N.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  barePage,
  chooseCamera,
  frameNumberAt,
  frameReader,
  framesBetween,
  openInterval,
  random,
  readFrame,
  screenshot,
  seekAndReadFrame,
  signIn,
  startBrowser,
  startMiharu,
} from './lib.mjs';

const kCameras = ['fmp4', 'fmp4-silent', 'mpegts', 'mpegts-silent'];
const kFull = process.env.MIHARU_FULL === '1';
const kSeed = Number(process.env.MIHARU_SEED ?? Math.floor(Math.random() * 1e9));
/** Besides those at the start of a run. */
const kSampledChunks = 5;
const kOvertakings = kFull ? 100 : 10;

let folder;
let server;
let browser;
let page;
let recording;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'miharu-recording-'));
  const store = join(folder, 'store');
  const tool = process.env.MIHARU_MAKE_RECORDING ?? 'build/release/test/tools/make_recording';
  recording = JSON.parse(execFileSync(tool, [store], { encoding: 'utf8' }));
  assert.deepEqual(recording.cameras, kCameras);
  const cameras = kCameras.map((name) => `[[camera]]\nname = "${name}"\nurl = "demo:"\nrecord = false\n`).join('\n');
  const config = join(folder, 'miharu.toml');
  // The recording is years old: nothing may be deleted for its age.
  await writeFile(config, `[store]\npath = "${store}"\nkeep = { age = "36500d", free = "1B" }\n\n${cameras}`);
  server = await startMiharu('--config', config, '--data', join(folder, 'data'));
  browser = await startBrowser();
  page = browser.page;
  await signIn(page, server.url, server);
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** The frame that is shown at a time, as its number in the picture, and the middle of the time for which it is shown. */
const numberAt = (wallMs) => frameNumberAt(wallMs, recording.fps);
const middleOf = (index) => ((index + 0.5) / recording.fps) * 1000;
const indexAt = (wallMs) => Math.floor((wallMs / 1000) * recording.fps);

/** The last frame before a moment and the first one after it. */
const bothSides = (wallMs) => [middleOf(indexAt(wallMs) - 1), middleOf(indexAt(wallMs))];

/** A frame as counted from the first one, without those of the gap. */
function recordedFrames(index) {
  const gapStart = indexAt(recording.gap.start) - indexAt(recording.start);
  const gapEnd = indexAt(recording.gap.end) - indexAt(recording.start);
  return index < gapStart ? index : Math.max(gapStart, index - (gapEnd - gapStart));
}

function seekTable() {
  const { start, changes, gap, hour, end } = recording;
  const last = middleOf(indexAt(end) - 1);
  const times = [
    ['the start', middleOf(indexAt(start))],
    ['inside the first run', middleOf(indexAt(start + 21_234))],
    ['before and after the picture became smaller', ...bothSides(changes[0])],
    ['inside the second run', middleOf(indexAt(changes[0] + 20_500))],
    ['before the gap', bothSides(gap.start)[0]],
    ['after the gap', middleOf(indexAt(gap.end))],
    ['inside the third run', middleOf(indexAt(gap.end + 33_300))],
    ['before and after the hour', ...bothSides(hour)],
    ['before and after the picture became larger', ...bothSides(changes[1])],
    ['inside the last run', middleOf(indexAt(changes[1] + 31_700))],
    ['the end', last],
  ];
  return times.flatMap(([what, ...moments]) => moments.map((wallMs) => ({ what, wallMs })));
}

const vodAddress = (camera, from, to) => `hls/${camera}/vod.m3u8?from=${Math.floor(from)}&to=${Math.ceil(to)}`;

/** The chunks of the whole recording, as its playlist has them. */
async function chunksOf(camera) {
  const text = await page.evaluate(async (address) => (await fetch(address)).text(), vodAddress(camera, recording.start, recording.end));
  const chunks = [];
  let wall = null;
  let runStart = true;
  for (const line of text.split('\n')) {
    if (line === '#EXT-X-DISCONTINUITY') runStart = true;
    else if (line.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) wall = Date.parse(line.slice(25));
    else if (line.startsWith('#EXTINF:')) {
      const duration = Math.round(Number.parseFloat(line.slice(8)) * 1000);
      chunks.push({ start: wall, end: wall + duration, runStart });
      wall += duration;
      runStart = false;
    }
  }
  assert.ok(chunks.length > 40, `${camera} has ${chunks.length} chunks`);
  return chunks;
}

async function chosenChunks(camera) {
  const chunks = await chunksOf(camera);
  if (kFull) return chunks;
  const next = random(kSeed);
  const others = chunks.filter((chunk) => !chunk.runStart);
  const sample = Array.from({ length: kSampledChunks }, () => others[Math.floor(next() * others.length)]);
  return [...chunks.filter((chunk) => chunk.runStart), ...sample];
}

/** 100 ms into the chunk, in the middle of a frame. */
const coldStartOf = (chunk) => middleOf(indexAt(Math.min(chunk.start + 100, chunk.end - 1)));

function assertFrame(frame, wallMs, what) {
  const off = frame.number === null ? 'no frame number' : `${framesBetween(numberAt(wallMs), frame.number)} frames off`;
  assert.equal(frame.number, numberAt(wallMs), `${what}, ${new Date(wallMs).toISOString()}: ${off}`);
}

for (const camera of kCameras) {
  // A seek that never ends must not hold the run up.
  describe(camera, { timeout: kFull ? 1_200_000 : 150_000 }, () => {
    test('a seek to any wall-clock time shows its picture', async () => {
      await chooseCamera(page, camera);
      await openInterval(page, recording.start, recording.end);
      const table = seekTable();
      // Forwards, then in an order that jumps.
      for (const { what, wallMs } of [...table, ...table.map((_, i) => table[(i * 5) % table.length])]) {
        const frame = await seekAndReadFrame(page, wallMs);
        assertFrame(frame, wallMs, what);
        assert.ok(Math.abs(frame.wallMs - wallMs) < 500 / recording.fps, `${what}: the page says ${frame.wallMs} for ${wallMs}`);
      }
      await screenshot(page, `recording-${camera}`);
    });

    test('a seek into the gap shows the first picture after it', async () => {
      for (const share of [0.001, 0.5, 0.999]) {
        const wallMs = recording.gap.start + share * (recording.gap.end - recording.gap.start);
        assertFrame(await seekAndReadFrame(page, wallMs), recording.gap.end, `${share} of the gap`);
      }
    });

    test('a seek to the last picture before what is loaded shows it', async () => {
      const inner = (await chunksOf(camera)).filter((chunk) => !chunk.runStart);
      const far = inner[0].start;
      for (const chunk of inner.slice(-3)) {
        for (const wallMs of [far, chunk.start + 500, chunk.start - 1].map((ms) => middleOf(indexAt(ms))))
          assertFrame(await seekAndReadFrame(page, wallMs), wallMs, `chunk of ${new Date(chunk.start).toISOString()}`);
      }
    });

    test('of seeks that overtake one another the last one is shown', async (t) => {
      t.diagnostic(`MIHARU_SEED=${kSeed}`);
      const next = random(kSeed);
      const runs = [recording.start, recording.changes[0], recording.gap.end, recording.changes[1]];
      for (let i = 0; i < kOvertakings; ++i) {
        const places = Array.from({ length: 3 }, () => middleOf(indexAt(runs[Math.floor(next() * 4)] + next() * 40_000)));
        const pauses = places.map(() => next() * 120);
        await page.evaluate(
          async ([overtaken, waits]) => {
            window.miharu.video.pause();
            for (const [k, ms] of overtaken.entries()) {
              void window.miharu.seekToWallClock(ms);
              await new Promise((resolve) => setTimeout(resolve, waits[k]));
            }
          },
          [places.slice(0, -1), pauses],
        );
        const wallMs = places.at(-1);
        assertFrame(await seekAndReadFrame(page, wallMs), wallMs, `after ${places.slice(0, -1).map((ms) => new Date(ms).toISOString())}`);
      }
    });

    test('playing on over each border shows every picture at its time', async () => {
      const { changes, gap, hour } = recording;
      for (const [what, border] of [['smaller', changes[0]], ['the gap', gap.start], ['the hour', hour], ['larger', changes[1]]]) {
        await seekAndReadFrame(page, middleOf(indexAt(border - 1500)));
        const end = middleOf(indexAt((border === gap.start ? gap.end : border) + 1000));
        const shown = await page.evaluate(`(${playUntil})(${await frameReader()}, ${end})`);
        // A browser without a graphics card on a busy machine leaves pictures out.
        assert.ok(shown.length > 1, `${what}: ${shown.length} pictures shown`);
        const recordedAt = (wallMs) => recordedFrames(indexAt(wallMs) - indexAt(recording.start));
        for (const { number, from, to } of shown) {
          const shownFrame = number === null ? NaN : recordedFrames(framesBetween(numberAt(recording.start), number));
          const told = `${what}: picture ${shownFrame - recordedAt(from)} after ${new Date(from).toISOString()} at ${new Date(to).toISOString()}`;
          assert.ok(shownFrame >= recordedAt(from) - 2 && shownFrame <= recordedAt(to) + 2, told);
        }
      }
    });

    test('Video.js shows the right picture from a cold start at a chunk', async (t) => {
      t.diagnostic(`MIHARU_SEED=${kSeed}`);
      for (const chunk of await chosenChunks(camera)) {
        const wallMs = coldStartOf(chunk);
        await page.evaluate(([from, to]) => window.miharu.playInterval(from, to, false), [wallMs, recording.end]);
        assertFrame(await readFrame(page), wallMs, 'cold start');
      }
    });

    test('hls.js shows the right picture from a cold start at a chunk', async () => {
      const bare = await barePage(browser, server);
      for (const chunk of await chosenChunks(camera)) {
        const wallMs = coldStartOf(chunk);
        const address = new URL(vodAddress(camera, wallMs, recording.end), server.url);
        const number = await bare.evaluate(`(${coldStartHls})(${await frameReader()}, '${address}')`);
        assertFrame({ number }, wallMs, 'cold start');
      }
      await bare.close();
    });
  });
}

test('the page kept to its content security policy and threw nothing', () => {
  assert.deepEqual(browser.errors, []);
});

/**
 * In the page: plays to a wall-clock time and gives each picture that was shown with what the page says its time is: from that of the
 * picture that the browser told of, to that of the element when the picture was read, for both run on meanwhile.
 */
async function playUntil(readFrameNumber, endMs) {
  const { video } = window.miharu;
  const shown = [];
  const deadline = performance.now() + 20_000;
  await new Promise((resolve, reject) => {
    const onFrame = (_now, { mediaTime }) => {
      const from = window.miharu.wallClock() - (video.currentTime - mediaTime) * 1000;
      const number = readFrameNumber(video);
      const to = window.miharu.wallClock();
      shown.push({ number, from, to });
      if (to >= endMs) resolve();
      else video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
    const watch = setInterval(() => {
      if (performance.now() > deadline) reject(new Error(`playing stands still at ${new Date(window.miharu.wallClock()).toISOString()}`));
      if (performance.now() > deadline || (shown.at(-1)?.to ?? 0) >= endMs) clearInterval(watch);
    }, 200);
    void video.play();
  });
  video.pause();
  return shown;
}

/** In the bare page: a new player; the number in the picture at which it begins. */
async function coldStartHls(readFrameNumber, address) {
  const video = document.createElement('video');
  video.muted = true;
  document.querySelector('video').replaceWith(video);
  const hls = new window.Hls();
  let start = 0;
  let drawn = -1;
  const onDrawn = (_now, { mediaTime }) => {
    drawn = mediaTime;
    video.requestVideoFrameCallback(onDrawn);
  };
  video.requestVideoFrameCallback(onDrawn);
  hls.on(window.Hls.Events.LEVEL_LOADED, (_event, data) => (start = data.details.startTimeOffset ?? 0));
  try {
    await new Promise((resolve, reject) => {
      hls.on(window.Hls.Events.ERROR, (_event, data) => data.fatal && reject(new Error(`${data.details}: ${data.error}`)));
      video.addEventListener('canplay', resolve, { once: true });
      setTimeout(() => reject(new Error('no picture after 15 s')), 15_000);
      hls.loadSource(address);
      hls.attachMedia(video);
    });
    // Until the picture of the place where it stands is on the screen, and not one before it. Chromium does not always tell of
    // the last picture that it draws while paused: after three seconds what is on the screen is judged as it is.
    const deadline = performance.now() + 3_000;
    const settled = () => !video.seeking && video.currentTime >= start - 0.001 && Math.abs(video.currentTime - drawn - 0.02) <= 0.021;
    while (!settled() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
    return readFrameNumber(video);
  } finally {
    hls.destroy();
  }
}
