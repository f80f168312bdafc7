// How soon a picture comes in Chromium after the offer was posted, and how soon it is live: the demo camera, one key frame in four
// seconds, viewers who join at all phases of the group of pictures.
//
//   MIHARU_BIN=build/release/miharu node bench/live_start.mjs [joins=50]
//
// The delay is that of the picture on the screen, by abs-capture-time: camera, miharu and browser have one clock here.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startBrowser, startMiharu } from '../test/browser/lib.mjs';

const kJoins = Number(process.argv[2] ?? 50);
const kGop_ms = 4000;
const kLive_ms = 150;
const kWatch_ms = 3000;

/** In the page: one viewer, from the offer to kWatch_ms after its first picture. */
async function watch([whep, live_ms, watch_ms]) {
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
  await peer.setLocalDescription();
  const posted = performance.now();
  const kNtpOf1970_ms = 2_208_988_800_000;
  const pictures = [];
  const seen = (now, data) => {
    const made = transceiver.receiver.getSynchronizationSources()[0]?.captureTimestamp;
    pictures.push({ at: data.presentationTime, delay: made === undefined ? undefined : Date.now() - (made - kNtpOf1970_ms) });
    video.requestVideoFrameCallback(seen);
  };
  video.requestVideoFrameCallback(seen);
  const reply = await fetch(whep, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: peer.localDescription.sdp });
  await peer.setRemoteDescription({ type: 'answer', sdp: await reply.text() });
  while (!pictures.length || performance.now() - pictures[0].at < watch_ms) await new Promise((done) => setTimeout(done, 50));
  await fetch(new URL(reply.headers.get('Location'), whep), { method: 'DELETE' });
  peer.close();
  video.remove();
  const known = pictures.filter((each) => each.delay !== undefined);
  const late = known.map((each) => each.delay);
  const first_live = known.find((each) => each.delay <= live_ms);
  const gaps = pictures.slice(1).map((each, i) => each.at - pictures[i].at);
  return {
    first: pictures[0].at - posted,
    live: first_live ? first_live.at - posted : null,
    delay: late.length ? late.slice(-20).sort((a, b) => a - b)[10] : null,
    gap: Math.max(...gaps),
  };
}

const share = (values, part) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * part))];
const tell = (name, values) =>
  console.log(`${name}: p50 ${share(values, 0.5)?.toFixed(0)} ms, p95 ${share(values, 0.95)?.toFixed(0)} ms, most ${Math.max(...values).toFixed(0)} ms`);

const folder = await mkdtemp(join(tmpdir(), 'miharu-live-start-'));
const config = join(folder, 'miharu.toml');
await writeFile(config, '[auth]\nmode = "none"\n');
const server = await startMiharu({ password: 'none' }, '--config', config, '--data', join(folder, 'data'), '--camera', `demo=demo:?gop=${kGop_ms}ms`);
const browser = await startBrowser();
try {
  await browser.page.goto(server.url);
  await new Promise((done) => setTimeout(done, 2 * kGop_ms));
  const results = [];
  for (let i = 0; i < kJoins; i++) {
    results.push(await browser.page.evaluate(watch, [`${server.url}whep/demo`, kLive_ms, kWatch_ms]));
    await new Promise((done) => setTimeout(done, (i * 1.618 * kGop_ms) % kGop_ms));
  }
  tell('first picture after the POST', results.map((each) => each.first));
  const live = results.filter((each) => each.live !== null);
  tell(`within ${kLive_ms} ms of live, ${live.length} of ${kJoins}`, live.map((each) => each.live));
  tell('delay then', results.filter((each) => each.delay !== null).map((each) => each.delay));
  tell('longest time between pictures', results.map((each) => each.gap));
} finally {
  await browser.close();
  await server.stop();
  await rm(folder, { recursive: true, force: true });
}
