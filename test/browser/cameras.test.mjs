// The page with cameras that others wrote: GStreamer's RTSP server over TCP, over UDP and with Digest, VLC's over UDP. Each is
// watched live and played back in Chromium. They carry no frame numbers: what is asserted is that pictures come and time goes on.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chooseCamera, freePort, openInterval, playsLive, screenshot, signIn, startBrowser, startGst, startMiharu, timeline } from './lib.mjs';

const kNobody = '65534'; // VLC refuses to run as root

let folder;
let server;
let browser;
let page;
const processes = [];

function start(command, args, stdout) {
  const started = spawn(command, args, { stdio: ['ignore', stdout, 'ignore'] });
  processes.push(started);
  return started;
}

async function startVlc() {
  const clip = join(folder, 'clip.ts');
  execFileSync('ffmpeg', ['-v', 'error', '-f', 'lavfi', '-i', 'testsrc2=size=384x240:rate=25', '-t', '20', '-c:v', 'libx264', '-preset', 'ultrafast',
    '-bf', '0', '-g', '25', clip]);
  await chmod(folder, 0o755);
  await chmod(clip, 0o644);
  const port = await freePort();
  const vlc = ['cvlc', '-q', '--repeat', clip, '--sout', `#rtp{sdp=rtsp://127.0.0.1:${port}/cam}`, '--sout-keep'];
  const asNobody = process.getuid() === 0
    ? ['setpriv', `--reuid=${kNobody}`, `--regid=${kNobody}`, '--clear-groups', 'env', `HOME=${folder}`, ...vlc] : vlc;
  start(asNobody[0], asNobody.slice(1), 'ignore');
  return port;
}

/** The port of a GStreamer server. */
async function gst(...args) {
  const { process, port } = await startGst(...args);
  processes.push(process);
  return port;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'miharu-cameras-'));
  const open = await gst();
  const digest = await gst('--digest', 'admin:s3cret word');
  const vlc = await startVlc();
  const config = join(folder, 'miharu.toml');
  await writeFile(config, `[[camera]]\nname = "gst-udp"\nurl = "rtsp://127.0.0.1:${open}/pcma"\ntransport = "udp"\n`);
  server = await startMiharu('--config', config, '--data', join(folder, 'data'),
    '--camera', `gst-tcp=rtsp://127.0.0.1:${open}/aac`,
    '--camera', `gst-digest=rtsp://admin:s3cret%20word@127.0.0.1:${digest}/silent`,
    '--camera', `vlc=rtsp://127.0.0.1:${vlc}/cam`);
  browser = await startBrowser();
  page = browser.page;
  await signIn(page, server.url, { password: server.password });
});

after(async () => {
  await browser?.close();
  await server?.stop();
  for (const started of processes) started.kill('SIGKILL');
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** What the interface says of the camera, once it records. */
async function recording(camera) {
  const deadline = Date.now() + 60_000;
  while (Date.now() < deadline) {
    const { cameras } = await page.evaluate(async () => (await fetch('api/v1/cameras')).json());
    const found = cameras.find(({ name }) => name === camera);
    if (found.state === 'recording') return found;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`${camera} is not recorded after a minute`);
}

for (const [camera, transport] of [['gst-tcp', 'tcp'], ['gst-udp', 'udp'], ['gst-digest', 'tcp'], ['vlc', 'udp']]) {
  test(`${camera} plays live and back`, async () => {
    assert.equal((await recording(camera)).transport, transport);
    await chooseCamera(page, camera);
    await playsLive(page);
    const before_s = await page.evaluate(() => window.miharu.video.currentTime);
    await page.waitForFunction((from) => window.miharu.video.currentTime > from + 1.5, before_s);
    await screenshot(page, `live-${camera}`);

    const recorded = async () => (await timeline(page, camera, Date.now() - 600_000, Date.now())).spans;
    const from = Math.ceil(Date.parse((await recorded())[0].start) / 1000) * 1000;
    // The first camera may have been live for two seconds only.
    while (Date.parse((await recorded()).at(-1).end) < from + 4000) await new Promise((done) => setTimeout(done, 200));
    await openInterval(page, from, from + 5000);
    await page.evaluate(() => window.miharu.video.play());
    await page.waitForFunction((ms) => window.miharu.wallClock() >= ms, from + 2000);
    assert.equal(await page.evaluate(() => window.miharu.video.videoWidth), 384);
    // VLC sends some of its pictures too late to be shown, so not by a number in a time.
    await page.waitForFunction(() => window.miharu.video.getVideoPlaybackQuality().totalVideoFrames > 25);
  });
}
