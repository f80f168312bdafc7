// Live view over WebRTC in Chromium: picture, sound, delay, the fallback to low-latency HLS, a page that nobody looks at, and a miharu
// that is started again, all without loading the page anew.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  frameNumberAt,
  frameReader,
  framesBetween,
  freePort,
  freeUdpPort,
  readFrame,
  screenshot,
  signIn,
  startBrowser,
  startMiharu,
} from './lib.mjs';

const kFps = 25;
const kLooks = 9;
/** Of now, and not by HLS, which is some 1.5 s behind; the median, because this machine may be busy. */
const kMaxDelay_ms = 1000;
/** The clock that the page shows and the picture's own number. */
const kMaxPlacement_ms = 200;
const kFallback_ms = 3000;

let folder;
let config;
let listen;
let server;
let browser;
let page;
const requests = [];

const startServer = () =>
  startMiharu({ listen, password: server?.password }, '--config', config, '--data', join(folder, 'data'), '--camera', 'demo=demo:');

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'miharu-webrtc-'));
  config = join(folder, 'miharu.toml');
  await writeFile(config, `[live]\nudp_port = ${await freeUdpPort()}\n`);
  listen = `127.0.0.1:${await freePort()}`;
  server = await startServer();
  browser = await startBrowser();
  await browser.context.addInitScript(() => {
    window.peers = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...options) {
        super(...options);
        window.peers.push(this);
      }
    };
  });
  page = browser.page;
  page.on('request', (request) => requests.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await signIn(page, server.url, { password: server.password });
  // Lost with the document: what is asserted at the end.
  await page.evaluate(() => {
    window.sameDocument = true;
  });
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

const player = () => page.locator('miharu-player');
const label = () => page.locator('miharu-player .state').textContent();

/** Waits for a state of <miharu-player>. */
const reaches = (kind, transport, timeout = 60_000) =>
  page.waitForFunction(
    ([wanted, by]) => {
      const state = document.querySelector('miharu-player')?.state;
      return state?.kind === wanted && (by === undefined || state.transport === by);
    },
    [kind, transport],
    { timeout },
  );

/** Waits until so many frames were shown, by the numbers in them. */
async function moves(frames = 40) {
  await page.evaluate(`window.readNumber = ${await frameReader()}`);
  const read = () => page.evaluate(() => (window.miharu.video?.videoWidth ? window.readNumber(window.miharu.video) : null));
  let first = null;
  while (first === null) first = await read();
  await page.waitForFunction(
    ([start, count]) => {
      const number = window.miharu.video?.videoWidth ? window.readNumber(window.miharu.video) : null;
      return number !== null && number - start >= count;
    },
    [first, frames],
    { timeout: 60_000 },
  );
}

/** Statistics of what comes of this kind of media, over the newest connection. */
const inbound = (kind) =>
  page.evaluate(async (wanted) => {
    const reports = [...(await window.peers.at(-1).getStats()).values()];
    return reports.find((one) => one.type === 'inbound-rtp' && one.kind === wanted) ?? null;
  }, kind);

async function rises(kind, counter) {
  const from = (await inbound(kind))?.[counter] ?? 0;
  await page.waitForFunction(
    async ([wanted, name, start]) => {
      const reports = [...(await window.peers.at(-1).getStats()).values()];
      return (reports.find((one) => one.type === 'inbound-rtp' && one.kind === wanted)?.[name] ?? 0) > start;
    },
    [kind, counter, from],
  );
}

/** As if the window were behind another one. */
const setHidden = (hidden) =>
  page.evaluate((value) => {
    Object.defineProperty(document, 'visibilityState', { value: value ? 'hidden' : 'visible', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  }, hidden);

async function playAnew() {
  await page.evaluate(() => document.querySelector('miharu-player').pause());
  await reaches('paused');
  await page.evaluate(() => document.querySelector('miharu-player').play());
}

/** Resolves when the page ends its session. */
const sessionEnds = () =>
  page.waitForRequest((request) => request.method() === 'DELETE' && /\/whep\/demo\/[\w-]+$/.test(request.url()));

test('pictures come over WebRTC, of now, and with the right time', async () => {
  await reaches('live', 'webrtc');
  await moves();
  const found = [];
  for (let i = 0; i < kLooks; ++i) {
    await page.waitForTimeout(200);
    const { number, wallMs } = await readFrame(page);
    const now = Date.now();
    const picture = (framesBetween(number, frameNumberAt(now, kFps)) / kFps) * 1000;
    found.push({ picture, off: Math.round(wallMs - (now - picture)) });
  }
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  const said = JSON.stringify(found);
  const age = median(found.map(({ picture }) => picture));
  assert.ok(age > -1000 / kFps && age < kMaxDelay_ms, `${said}: pictures are ${age} ms old`);
  assert.ok(Math.abs(median(found.map(({ off }) => off))) <= kMaxPlacement_ms, `${said}: the clock is off`);
  assert.match(await label(), /^live \d+(\.\d)? m?s$/);
  assert.equal(requests.some((one) => one.endsWith('.m3u8')), false, 'a playlist was loaded as well');
  await screenshot(page, 'webrtc-live');
});

test('silent at first; its button turns the sound on', async () => {
  assert.equal(await page.evaluate(() => window.miharu.video.muted), true);
  await player().hover();
  await page.locator('miharu-player .sound').click();
  assert.equal(await page.evaluate(() => window.miharu.video.muted || window.miharu.video.paused), false);
  await rises('audio', 'packetsReceived');
  await rises('audio', 'totalAudioEnergy');
});

test('lowest delay is a choice, and not made by default', async () => {
  const target = () => page.evaluate(() => window.peers.at(-1).getReceivers().find(({ track }) => track.kind === 'video').jitterBufferTarget);
  assert.equal(await target(), null);
  await page.locator('miharu-player .lowest').click();
  assert.equal(await target(), 0);
  await moves(10);
  await playAnew();
  await reaches('live', 'webrtc');
  assert.equal(await target(), 0, 'forgotten by the next connection');
  await page.locator('miharu-player .lowest').click();
  assert.equal(await target(), null);
});

test('a page that nobody sees ends its session, and shows live pictures again when seen', async () => {
  const ended = sessionEnds();
  await setHidden(true);
  await reaches('paused');
  await ended;
  assert.equal(await page.evaluate(() => window.peers.at(-1).connectionState), 'closed');
  await screenshot(page, 'webrtc-hidden');
  await setHidden(false);
  await reaches('live', 'webrtc');
  await moves();
});

test('no codec in common: low-latency HLS at once', async () => {
  await page.route('**/whep/demo', (route) => route.fulfill({ status: 406, json: { title: 'Not Acceptable' } }));
  const began = Date.now();
  const playlist = page.waitForRequest(/live\.m3u8/);
  await playAnew();
  await playlist;
  assert.ok(Date.now() - began < kFallback_ms, `HLS began after ${Date.now() - began} ms`);
  await reaches('live', 'hls');
  await moves();
  assert.match(await label(), /^HLS \d+(\.\d)? m?s$/);
  await page.unroute('**/whep/demo');
});

test('UDP that is blocked: low-latency HLS after three seconds, WebRTC again when the network is another one', async () => {
  await page.route('**/whep/demo', async (route) => {
    const response = await route.fetch();
    const body = (await response.text()).replace(/^(a=candidate:\S+ \d+ \S+ \d+) \S+ \d+/gm, '$1 127.0.0.1 9');
    await route.fulfill({ response, body });
  });
  const asked = page.waitForRequest((request) => request.method() === 'POST' && request.url().endsWith('/whep/demo'));
  await playAnew();
  await asked;
  const ended = sessionEnds();
  const began = Date.now();
  // Not before: the test above left a player of HLS, which asks for its next part until it is closed.
  await page.waitForRequest(/live\.m3u8/);
  const waited = Date.now() - began;
  // Timers of the page and of this test are not quite the same.
  assert.ok(waited > kFallback_ms - 500, `HLS began after ${waited} ms already`);
  await reaches('live', 'hls');
  await moves();
  await page.waitForFunction(() => window.peers.every(({ connectionState }) => connectionState === 'closed'));
  await ended;
  await screenshot(page, 'webrtc-blocked');
  await page.unroute('**/whep/demo');
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  await reaches('live', 'webrtc');
  await moves();
});

test('another network: an ICE restart keeps the session', async () => {
  const patched = page.waitForResponse((response) => response.request().method() === 'PATCH');
  const connections = await page.evaluate(() => window.peers.length);
  await page.evaluate(() => window.dispatchEvent(new Event('online')));
  assert.equal((await patched).status(), 200);
  await page.waitForFunction(() => ['connected', 'completed'].includes(window.peers.at(-1).iceConnectionState));
  await moves();
  await rises('video', 'framesDecoded');
  assert.equal(await page.evaluate(() => window.peers.length), connections, 'a new connection was made');
});

test('a restart of miharu', async () => {
  await server.stop();
  await reaches('reconnecting');
  await screenshot(page, 'webrtc-server-away');
  server = { ...(await startServer()), password: server.password };
  await reaches('live', 'webrtc');
  await moves();
  await rises('audio', 'packetsReceived');
  assert.equal(await page.evaluate(() => window.sameDocument), true, 'the page was loaded anew');
});

test('recordings and back to live', async () => {
  const ended = sessionEnds();
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(() => window.miharu.mode === 'playback' && window.miharu.wallClock() !== null);
  assert.equal(await player().count(), 0);
  await ended;
  await page.click('#live');
  await reaches('live', 'webrtc');
  await moves();
});

test('leaving the page ends the session', async () => {
  const ended = sessionEnds();
  await page.goto('about:blank');
  await ended;
});

test('simple.html: one video with sound, by POST /offer, also after a restart of miharu', async () => {
  await page.goto(new URL('simple.html?camera=demo', server.url).href);
  assert.deepEqual(await page.evaluate(() => [...document.body.children].map(({ localName }) => localName)), ['video']);
  assert.equal(await page.locator('script').count(), 1);
  const number = async () => page.evaluate(`${await frameReader()}(document.querySelector('video'))`);
  const plays = async () => {
    await page.waitForFunction(
      () => window.peers.at(-1)?.connectionState === 'connected' && document.querySelector('video').videoWidth > 0,
      undefined,
      { timeout: 60_000 },
    );
    await rises('video', 'framesDecoded');
    await rises('audio', 'packetsReceived');
  };
  await plays();
  assert.notEqual(await number(), null);
  await screenshot(page, 'simple');
  await server.stop();
  server = { ...(await startServer()), password: server.password };
  await page.waitForFunction(() => window.peers.length > 1, undefined, { timeout: 60_000 });
  await plays();
});

test('the pages kept to their content security policy and threw nothing', () => {
  assert.deepEqual(browser.errors, []);
});
