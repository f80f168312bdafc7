// How soon a picture comes in Chromium after the offer was posted, how soon it is live, and how old it is on the screen from then on:
// viewers who join at all phases of the group of pictures, on loopback or over a line that is slower.
//
//   MIHARU_BIN=build/release/miharu node bench/live_start.mjs [--joins 50] [--rate MBITS] [--round-trip MS] [--queue MS]
//       [--camera demo:?gop=4000ms | --cameras PROGRAM --clip FILE] [--fps 25] [--gop MS] [--watch MS] [--trace FILE]
//
// With --clip the camera is bench/rtsp_cameras, which plays that file over RTSP; --gop is the time between its key frames.
// The age of a picture of the demo camera is read from the picture itself: the number in it says when it was made (docs/demo-camera.md);
// it is that when Chromium's compositor takes it to the screen. Of any other camera it is what abs-capture-time says. All have one
// clock here. With --rate or --round-trip HTTP and UDP go through one line with a queue of 200 ms (test/browser/link.mjs). The page and
// its connection for HTTP are there before, and one viewer came and went, as in a page that shows one camera after another.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startLink } from '../test/browser/link.mjs';
import { frameReader, freePort, freeUdpPort, startBrowser, startMiharu } from '../test/browser/lib.mjs';

const { values: options } = parseArgs({
  options: {
    joins: { type: 'string', default: '50' },
    rate: { type: 'string' },
    'round-trip': { type: 'string' },
    queue: { type: 'string', default: '200' },
    camera: { type: 'string', default: 'demo:?gop=4000ms' },
    cameras: { type: 'string' },
    clip: { type: 'string' },
    fps: { type: 'string', default: '25' },
    gop: { type: 'string', default: '4000' },
    watch: { type: 'string', default: '3000' },
    trace: { type: 'string' },
  },
});
const kJoins = Number(options.joins);
const kGop_ms = Number(options.gop);
const kLive_ms = 150;
const kWatch_ms = Number(options.watch);
const kGoldenRatio = 0.618033988749895;

/** In the page: one viewer, from the offer to kWatch_ms after its first picture. */
async function watch([whep, fps, watch_ms]) {
  const peer = new RTCPeerConnection();
  const video = document.createElement('video');
  video.muted = true;
  video.autoplay = true;
  document.body.append(video);
  peer.ontrack = (event) => {
    if (event.track.kind === 'video') video.srcObject = event.streams[0];
  };
  const transceiver = peer.addTransceiver('video', { direction: 'recvonly' });
  peer.addTransceiver('audio', { direction: 'recvonly' });
  transceiver.setHeaderExtensionsToNegotiate?.(
    transceiver.getHeaderExtensionsToNegotiate().map((each) => (each.uri.endsWith('abs-capture-time') ? { ...each, direction: 'sendrecv' } : each)),
  );
  const states = {};
  const posted = performance.now();
  peer.oniceconnectionstatechange = () => (states[peer.iceConnectionState] ??= performance.now() - posted);
  peer.onconnectionstatechange = () => (states[`peer ${peer.connectionState}`] ??= performance.now() - posted);
  await peer.setLocalDescription();
  states.offered = performance.now() - posted;
  const kNtpOf1970_ms = 2_208_988_800_000;
  const pictures = [];
  const seen = (now, data) => {
    const wall = Date.now() - performance.now();
    let made = null;
    if (window.readNumber) {
      const number = window.readNumber(video);
      if (number !== null) {
        const turn = 2 ** 32;
        const turns = Math.round(((Date.now() / 1000) * fps - number) / turn);
        made = ((number + turns * turn) * 1000) / fps;
      }
    } else {
      const stamp = transceiver.receiver.getSynchronizationSources()[0]?.captureTimestamp;
      if (stamp !== undefined) made = stamp - kNtpOf1970_ms;
    }
    pictures.push({
      at: data.presentationTime - posted,
      age: made === null ? null : data.expectedDisplayTime + wall - made,
      received: data.receiveTime - posted,
      rtp: data.rtpTimestamp,
      frames: data.presentedFrames,
    });
    video.requestVideoFrameCallback(seen);
  };
  video.requestVideoFrameCallback(seen);
  const sent = performance.now() - posted;
  const reply = await fetch(whep, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: peer.localDescription.sdp });
  const answer = await reply.text();
  states.answered = performance.now() - posted;
  await peer.setRemoteDescription({ type: 'answer', sdp: answer });
  const end = performance.now() + 20_000;
  while ((!pictures.length || performance.now() - posted - pictures[0].at < watch_ms) && performance.now() < end) {
    await new Promise((done) => setTimeout(done, 50));
  }
  const stats = {};
  for (const report of (await peer.getStats()).values()) {
    if (report.type !== 'inbound-rtp' || report.kind !== 'video') continue;
    for (const name of ['packetsReceived', 'packetsLost', 'nackCount', 'pliCount', 'framesDropped', 'framesDecoded', 'freezeCount', 'keyFramesDecoded', 'retransmittedPacketsReceived'])
      stats[name] = report[name];
  }
  const session = new URL(reply.headers.get('Location'), whep);
  await fetch(session, { method: 'DELETE' });
  peer.close();
  video.remove();
  return { sent, states, pictures, stats };
}

/** One viewer's start, from what his page saw. */
function judge({ sent, states, pictures, stats }) {
  const known = pictures.filter(({ age }) => age !== null);
  const live = known.find(({ age }) => age <= kLive_ms);
  const steady = known.filter(({ at }) => at > (pictures[0]?.at ?? 0) + kWatch_ms / 2).map(({ age }) => age);
  const gaps = pictures.slice(1).map(({ at }, i) => at - pictures[i].at);
  return {
    first: pictures.length ? pictures[0].at - sent : null,
    first_age: known[0]?.age ?? null,
    live: live ? live.at - sent : null,
    steady,
    gap: gaps.length ? Math.max(...gaps) : null,
    states,
    stats,
  };
}

const share = (values, part) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];
function tell(name, all) {
  const values = all.filter((value) => value !== null);
  const missing = all.length === values.length ? '' : ` (${all.length - values.length} never)`;
  console.log(`${name}: p50 ${share(values, 0.5)?.toFixed(0)} ms, p95 ${share(values, 0.95)?.toFixed(0)} ms, most ${share(values, 1)?.toFixed(0)} ms${missing}`);
}
const total = (results, name) => results.reduce((sum, { stats }) => sum + (stats[name] ?? 0), 0);

const clip = options.clip ? spawn(options.cameras, [options.clip], { stdio: ['ignore', 'pipe', 'inherit'] }) : null;
const camera = clip ? `rtsp://127.0.0.1:${Number((await once(clip.stdout, 'data'))[0])}/0` : options.camera;
const folder = await mkdtemp(join(tmpdir(), 'miharu-live-start-'));
const config = join(folder, 'miharu.toml');
const udpPort = await freeUdpPort();
await writeFile(config, `[auth]\nmode = "none"\n[live]\nudp_port = ${udpPort}\naddresses = ["127.0.0.1"]\n`);
const listen = `127.0.0.1:${await freePort()}`;
const server = await startMiharu({ listen, password: 'none' }, '--config', config, '--data', join(folder, 'data'), '--camera', `camera=${camera}`);
const slow = options.rate !== undefined || options['round-trip'] !== undefined;
const link = slow
  ? await startLink({
      url: server.url,
      udpPort,
      bitsPerSecond: options.rate === undefined ? Infinity : Number(options.rate) * 1e6,
      roundTrip_ms: Number(options['round-trip'] ?? 0),
      queue_ms: Number(options.queue),
    })
  : null;
const url = link?.url ?? server.url;
const browser = await startBrowser();
const load = loadavg()[0];
const results = [];
const traces = [];
try {
  if (link) await browser.context.addInitScript(link.insert, [udpPort, link.udpPort]);
  await browser.page.goto(new URL('simple.html?camera=none', url).href);
  if (camera.startsWith('demo:')) await browser.page.evaluate(`window.readNumber = ${await frameReader()}`);
  await new Promise((done) => setTimeout(done, 2 * kGop_ms));
  await browser.page.evaluate(watch, [`${url}whep/camera`, Number(options.fps), 0]);
  for (let i = 0; i < kJoins; i++) {
    // Key frames lie at multiples of the interval: the phases are spread evenly.
    const phase = ((i * kGoldenRatio) % 1) * kGop_ms;
    await new Promise((done) => setTimeout(done, (((phase - Date.now()) % kGop_ms) + kGop_ms) % kGop_ms));
    const before = link ? { ...link.down.counters } : null;
    const seen = await browser.page.evaluate(watch, [`${url}whep/camera`, Number(options.fps), kWatch_ms]);
    const result = { phase, ...judge(seen) };
    if (link) result.dropped = link.down.counters.dropped - before.dropped;
    results.push(result);
    traces.push({ ...result, pictures: seen.pictures });
  }
} finally {
  await browser.close();
  await link?.stop();
  await server.stop();
  clip?.kill();
  await rm(folder, { recursive: true, force: true });
}
if (options.trace) await writeFile(options.trace, JSON.stringify(traces));
const line = slow ? `${options.rate ?? 'unlimited'} Mbit/s, round trip ${options['round-trip'] ?? 0} ms, queue ${options.queue} ms` : 'loopback';
console.log(`${kJoins} starts, ${options.clip ?? camera}, ${line}; load ${load.toFixed(1)} before, ${loadavg()[0].toFixed(1)} after`);
tell('first picture after the POST', results.map(({ first }) => first));
tell('its age', results.map(({ first_age }) => first_age));
tell(`within ${kLive_ms} ms of live`, results.map(({ live }) => live));
tell('age on the screen then', results.flatMap(({ steady }) => steady));
tell('longest time between pictures', results.map(({ gap }) => gap));
console.log(
  `packets lost ${total(results, 'packetsLost')}, asked again ${total(results, 'nackCount')}, key frames asked for ${total(results, 'pliCount')}, ` +
    `frames dropped ${total(results, 'framesDropped')} of ${total(results, 'framesDecoded')}, freezes ${total(results, 'freezeCount')}` +
    (link ? `; dropped by the line ${link.down.counters.dropped} of ${link.down.counters.carried}, longest queue ${link.down.counters.longestQueue_ms.toFixed(0)} ms` : ''),
);
