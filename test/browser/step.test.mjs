// The recorder's clock was set in the middle of a group of pictures, back or forward: what is played across that border
// goes on, with at most the pictures up to the next key frame left out, and no player stands still for good.
//   MIHARU_BIN=... MIHARU_MAKE_RECORDING=... node --test test/browser/step.test.mjs
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { barePage, chooseCamera, frameNumberAt, frameReader, framesBetween, signIn, startBrowser, startMiharu } from './lib.mjs';

const kSteps = [-7200, 600];
const kCameras = ['fmp4', 'fmp4-silent', 'mpegts', 'mpegts-silent'];
const kGop_s = 4;

let browser;

before(async () => {
  browser = await startBrowser();
});
after(() => browser?.close());

for (const step of kSteps) {
  describe(`a clock set by ${step} s`, { timeout: 300_000 }, () => {
    let folder;
    let server;
    let recording;

    before(async () => {
      folder = await mkdtemp(join(tmpdir(), 'miharu-step-'));
      const store = join(folder, 'store');
      const tool = process.env.MIHARU_MAKE_RECORDING ?? 'build/release/test/tools/make_recording';
      recording = JSON.parse(execFileSync(tool, [store, '--step', String(step)], { encoding: 'utf8' }));
      const cameras = kCameras.map((name) => `[[camera]]\nname = "${name}"\nurl = "demo:"\nrecord = false\n`).join('\n');
      const config = join(folder, 'miharu.toml');
      await writeFile(config, `[store]\npath = "${store}"\nkeep = { age = "36500d", free = "1B" }\n\n${cameras}`);
      server = await startMiharu('--config', config, '--data', join(folder, 'data'));
      await browser.context.clearCookies();
      await signIn(browser.page, server.url, server);
    });
    after(async () => {
      await server?.stop();
      if (folder) await rm(folder, { recursive: true, force: true });
    });

    /** By the clock of the pictures, which was not set. */
    const numberAt = (wallMs) => frameNumberAt(wallMs, recording.fps);
    const address = (camera, from, to) => new URL(`hls/${camera}/vod.m3u8?from=${from}&to=${to}`, server.url).href;
    /** An interval that holds both sides; and one that begins behind the step, before the next key frame. */
    const whole = () => [Math.min(recording.start, recording.end - 60_000), Math.max(recording.end, recording.step.at + 1000)];
    const behind = () => [recording.step.at + recording.step.by + 1000, recording.end];

    function assertGoesOn(shown, what) {
      const numbers = shown.filter((number) => number !== null);
      const border = numberAt(recording.step.at);
      assert.ok(numbers.length > 5, `${what}: ${numbers.length} pictures`);
      const past = numbers.filter((number) => framesBetween(border, number) >= 0);
      assert.ok(past.length > 0, `${what}: nothing was shown of what is behind the step`);
      const first = framesBetween(border, Math.min(...past));
      assert.ok(first <= kGop_s * recording.fps, `${what}: goes on ${first} frames behind the step`);
      for (let i = 1; i < numbers.length; ++i)
        assert.ok(framesBetween(numbers[i - 1], numbers[i]) >= 0, `${what}: ${numbers[i]} comes after ${numbers[i - 1]}`);
      return first;
    }

    for (const camera of kCameras) {
      for (const player of ['hls.js', 'Video.js']) {
        test(`${player} plays ${camera} on over it`, async (t) => {
          const page = player === 'hls.js' ? await barePage(browser, server) : browser.page;
          if (player !== 'hls.js') await chooseCamera(page, camera);
          for (const [what, [from, to], begin] of [
            ['over the border', whole(), recording.step.at - 2500],
            ['from behind it', behind(), null],
          ]) {
            // The page goes by the wall clock: what lies before is not what it plays next.
            if (player === 'Video.js' && step < 0 && begin !== null) continue;
            const last = numberAt(recording.step.at + kGop_s * 1000 + 1500);
            const play = player === 'hls.js' ? playBare : playPage;
            const at = begin === null ? from : begin;
            const shown = await page.evaluate(
              `(${play})(${await frameReader()}, ${JSON.stringify({ address: address(camera, from, to), from, to, at, begin, last, camera })})`,
            );
            const first = assertGoesOn(shown.numbers, `${camera} in ${player}, ${what}`);
            t.diagnostic(`${what}: ${shown.numbers.length} pictures, first behind the step ${first} frames after it; ${shown.note}`);
          }
          if (player === 'hls.js') await page.close();
        });
      }
    }
  });
}

test('the page threw nothing', () => assert.deepEqual(browser.errors, []));

/** In the bare page: plays until the picture `last`; the numbers of the pictures shown. */
async function playBare(readFrameNumber, { address, begin, last }) {
  const video = document.createElement('video');
  video.muted = true;
  document.querySelector('video').replaceWith(video);
  const hls = new window.Hls();
  const numbers = [];
  const errors = [];
  try {
    await new Promise((resolve, reject) => {
      const began = performance.now();
      hls.on(window.Hls.Events.ERROR, (_event, data) => {
        errors.push(data.details);
        if (data.fatal) reject(new Error(`${data.details}: ${data.error}`));
      });
      hls.on(window.Hls.Events.LEVEL_LOADED, (_event, { details }) => {
        if (begin === null || video.currentTime > 0) return;
        const at = details.fragments.find((each) => each.programDateTime <= begin && begin < each.programDateTime + each.duration * 1000);
        hls.config.startPosition = at.start + (begin - at.programDateTime) / 1000;
        hls.startLoad(hls.config.startPosition);
      });
      const onFrame = () => {
        const number = readFrameNumber(video);
        if (numbers.at(-1) !== number) numbers.push(number);
        if (number !== null && number >= last && number - last < 1000) resolve();
        else video.requestVideoFrameCallback(onFrame);
      };
      video.requestVideoFrameCallback(onFrame);
      const watch = setInterval(() => {
        if (performance.now() - began < 30_000) return;
        clearInterval(watch);
        const ranges = [...Array(video.buffered.length).keys()].map((i) => [video.buffered.start(i), video.buffered.end(i)]);
        reject(new Error(`stands still at ${video.currentTime}, picture ${numbers.at(-1)}, buffered ${JSON.stringify(ranges)}, ${errors}`));
      }, 500);
      hls.config.autoStartLoad = begin === null;
      hls.loadSource(address);
      hls.attachMedia(video);
      void video.play();
    });
    return { numbers, note: `errors: ${[...new Set(errors)].join(' ') || 'none'}` };
  } finally {
    hls.destroy();
  }
}

/** The same in the page, by its own player. */
async function playPage(readFrameNumber, { from, to, begin, last }) {
  await window.miharu.playInterval(from, to, false);
  if (begin !== null) await window.miharu.seekToWallClock(begin);
  const { video } = window.miharu;
  const numbers = [];
  const began = performance.now();
  await new Promise((resolve, reject) => {
    const onFrame = () => {
      const number = readFrameNumber(video);
      if (numbers.at(-1) !== number) numbers.push(number);
      if (number !== null && number >= last && number - last < 1000) resolve();
      else video.requestVideoFrameCallback(onFrame);
    };
    video.requestVideoFrameCallback(onFrame);
    const watch = setInterval(() => {
      if (performance.now() - began < 30_000) return;
      clearInterval(watch);
      const ranges = [...Array(video.buffered.length).keys()].map((i) => [video.buffered.start(i), video.buffered.end(i)]);
      reject(new Error(`stands still at ${video.currentTime} of ${video.duration}, picture ${numbers.at(-1)}, buffered ${JSON.stringify(ranges)}`));
    }, 500);
    void video.play();
  });
  video.pause();
  return { numbers, note: `wall clock ${new Date(window.miharu.wallClock()).toISOString()}` };
}
