// Low-latency HLS in Chromium, which here has no WebRTC: how far behind the camera, two players at once, and a camera that goes away,
// changes its picture and comes back, and a miharu that is started again, all without loading the page anew.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  chooseCamera,
  frameNumberAt,
  framesBetween,
  freePort,
  playsLive,
  readFrame,
  screenshot,
  signIn,
  startBrowser,
  startGst,
  startMiharu,
  withoutWebrtc,
} from './lib.mjs';

const kFps = 25;
const kLooks = 9;
/** What the design promises of hls.js with parts of half a second; the median, because this machine may be busy. */
const kMaxDelay_ms = 2000;

let folder;
let config;
let listen;
let server;
let camera;
let cameraPort;
let browser;
let page;

const startServer = () =>
  startMiharu({ listen, password: server?.password }, '--config', config, '--data', join(folder, 'data'),
    '--camera', `gst=rtsp://127.0.0.1:${cameraPort}/aac`, '--camera', 'demo=demo:');

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'miharu-live-'));
  camera = await startGst();
  cameraPort = camera.port;
  listen = `127.0.0.1:${await freePort()}`;
  config = join(folder, 'miharu.toml');
  await writeFile(config, '');
  server = await startServer();
  browser = await startBrowser();
  await withoutWebrtc(browser.context);
  page = browser.page;
  await signIn(page, server.url, { password: server.password });
  // Lost with the document: what is asserted at the end.
  await page.evaluate(() => {
    window.sameDocument = true;
  });
});

after(async () => {
  await browser?.close();
  await server?.stop();
  await camera?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const median = (found) => found.map(({ picture }) => picture).sort((a, b) => a - b)[found.length >> 1];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** How old the demo camera's picture is, by the number in it and by the page's clock. */
async function delays(on) {
  const found = [];
  for (let i = 0; i < kLooks; ++i) {
    await sleep(400);
    const { number, wallMs } = await readFrame(on);
    const now = Date.now();
    found.push({ picture: (framesBetween(number, frameNumberAt(now, kFps)) / kFps) * 1000, clock: Math.round(now - wallMs) });
  }
  return found;
}

/** Pictures go on, and are of now by the page's own clock. */
async function plays(ms = 60_000) {
  const from = await page.evaluate(() => window.miharu.video?.currentTime ?? 0);
  await page.waitForFunction(
    (start) => {
      const { video } = window.miharu;
      const wall = window.miharu.wallClock();
      if (!video || video.readyState < 2 || wall === null || Date.now() - wall > 4000) return false;
      window.livePictures ??= { at: video.currentTime, since: performance.now() };
      if (video.currentTime < window.livePictures.at) window.livePictures = { at: video.currentTime, since: performance.now() };
      return video.currentTime !== start && video.currentTime - window.livePictures.at > 1;
    },
    from,
    { timeout: ms },
  );
  await page.evaluate(() => delete window.livePictures);
}

const size = () => page.evaluate(() => [window.miharu.video.videoWidth, window.miharu.video.videoHeight].join('x'));

test('the picture is at most two seconds old', async () => {
  await chooseCamera(page, 'demo');
  await playsLive(page);
  await sleep(6000); // while it catches up from where it began
  const found = await delays(page);
  assert.ok(median(found) > 0 && median(found) <= kMaxDelay_ms, `${JSON.stringify(found)} ms old`);
  await screenshot(page, 'live-low-latency');
});

test('two players at once, over HTTP/1.1', async () => {
  const second = await browser.context.newPage();
  await second.goto(server.url);
  await second.locator('#app').waitFor();
  await chooseCamera(second, 'demo');
  await playsLive(second);
  await sleep(6000);
  const found = await delays(second);
  assert.ok(median(found) > 0 && median(found) <= kMaxDelay_ms + 500, `the second one: ${JSON.stringify(found)} ms old`);
  await second.close();
});

test('a change of the picture in mid-stream', async () => {
  await chooseCamera(page, 'gst');
  await playsLive(page);
  assert.equal(await size(), '384x240');
  camera.process.kill('SIGUSR1');
  await page.waitForFunction(() => window.miharu.video?.videoWidth === 320, undefined, { timeout: 60_000 });
  await plays();
});

test('a camera that goes away and comes back with another picture', async () => {
  await camera.stop();
  await page.waitForFunction(() => Date.now() - (window.miharu.wallClock() ?? 0) > 8000, undefined, { timeout: 60_000 });
  await screenshot(page, 'live-camera-away');
  camera = await startGst('--port', String(cameraPort));
  await page.waitForFunction(() => window.miharu.video?.videoWidth === 384, undefined, { timeout: 90_000 });
  await plays();
});

test('a restart of miharu', async () => {
  await server.stop();
  await sleep(3000);
  await screenshot(page, 'live-server-away');
  server = { ...(await startServer()), password: server.password };
  await plays(90_000);
  assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was loaded anew');
  assert.equal(await page.evaluate(() => window.miharu.mode), 'live');
});

test('the page kept to its content security policy and threw nothing', () => {
  assert.deepEqual(browser.errors, []);
});
