// Live view over WebRTC through a line of 20 Mbit/s with 20 ms of round trip: whoever comes, at whatever phase of the group of
// pictures, sees whole pictures only, each later than the one before, also where packets are lost. How soon they come is measured by
// bench/live_start.mjs and judged by nobody here.
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startLink } from './link.mjs';
import { frameReader, framesBetween, freePort, freeUdpPort, signIn, startBrowser, startMiharu } from './lib.mjs';

const kRate = 20e6;
const kRoundTrip_ms = 20;
const kGop_ms = 4000;
const kStarts = 5;
const kFrames = 60;
const kGoldenRatio = 0.618033988749895;

let folder;
let server;
let udpPort;
let browser;
let link;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'miharu-link-'));
  const config = join(folder, 'miharu.toml');
  udpPort = await freeUdpPort();
  await writeFile(config, `[live]\nudp_port = ${udpPort}\naddresses = ["127.0.0.1"]\n`);
  const camera = `demo=demo:?gop=${kGop_ms}ms`;
  server = await startMiharu({ listen: `127.0.0.1:${await freePort()}` }, '--config', config, '--data', join(folder, 'data'), '--camera', camera);
});

after(async () => {
  await browser?.close();
  await link?.stop();
  await server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** The page, signed in at the near end of a line of this kind. */
async function open(kind) {
  await browser?.close();
  await link?.stop();
  link = await startLink({ url: server.url, udpPort, bitsPerSecond: kRate, roundTrip_ms: kRoundTrip_ms, ...kind });
  browser = await startBrowser();
  await browser.context.addInitScript(link.insert, [udpPort, link.udpPort]);
  await browser.context.addInitScript(() => {
    window.peers = [];
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(...options) {
        super(...options);
        window.peers.push(this);
      }
    };
  });
  await signIn(browser.page, link.url, { password: server.password });
  await browser.page.evaluate(`window.readNumber = ${await frameReader()}`);
}

/** A new connection, begun at this time after a key frame: the numbers in the pictures that its video element presents, null where none can be read. */
async function watch(phase_ms, frames) {
  const { page } = browser;
  await page.evaluate(() => document.querySelector('miharu-player').pause());
  await page.waitForFunction(() => document.querySelector('miharu-player').state.kind === 'paused');
  return page.evaluate(
    async ([phase, gop, wanted]) => {
      const left = (((phase - Date.now()) % gop) + gop) % gop;
      await new Promise((done) => setTimeout(done, left));
      const player = document.querySelector('miharu-player');
      const before = player.video;
      
      player.play();
      while (player.video === null || player.video === before) await new Promise((done) => requestAnimationFrame(done));
      const { video } = player;
      const numbers = [];
      await new Promise((done) => {
        const seen = () => {
          numbers.push(window.readNumber(video));
          if (numbers.length < wanted) video.requestVideoFrameCallback(seen);
          else done();
        };
        video.requestVideoFrameCallback(seen);
      });
      const reports = [...(await window.peers.at(-1).getStats()).values()];
      const { packetsLost, nackCount, pliCount, framesDecoded, keyFramesDecoded } = reports.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
      const pair = reports.find((one) => one.type === 'candidate-pair' && one.nominated);
      const { port } = reports.find(({ id }) => id === pair.remoteCandidateId);
      return { numbers, port, transport: player.state.transport, packetsLost, nackCount, pliCount, framesDecoded, keyFramesDecoded };
    },
    [phase_ms, kGop_ms, frames],
  );
}

/** Whole pictures, none older than the one before: the element may have the next one already when it is read. */
function judge(seen) {
  const said = JSON.stringify(seen);
  assert.equal(seen.transport, 'webrtc', said);
  assert.equal(seen.port, link.udpPort, `not through the line: ${said}`);
  assert.ok(!seen.numbers.includes(null), `a picture without a number: ${said}`);
  seen.numbers.slice(1).forEach((number, i) => assert.ok(framesBetween(seen.numbers[i], number) >= 0, `back in time: ${said}`));
}

test('from every phase of the group of pictures', async () => {
  await open({});
  for (let i = 0; i < kStarts; ++i) {
    const seen = await watch(((i * kGoldenRatio) % 1) * kGop_ms, kFrames);
    judge(seen);
    assert.equal(seen.packetsLost + seen.nackCount + seen.pliCount, 0, JSON.stringify(seen));
  }
  assert.equal(link.down.counters.dropped, 0, 'the queue of the line was too small for a start');
});

test('where packets are lost', async () => {
  await open({ loseEvery: 30 });
  for (let i = 0; i < 2; ++i) {
    const seen = await watch((0.3 + 0.4 * i) * kGop_ms, 3 * kFrames);
    judge(seen);
    assert.ok(seen.nackCount > 0, JSON.stringify(seen));
  }
  assert.ok(link.down.counters.dropped > 0);
});
