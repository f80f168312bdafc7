// The player page against a miharu with a demo camera: one that is started here ($MIHARU_BIN), or one that runs already:
//   MIHARU_URL=http://127.0.0.1:8080/ MIHARU_PASSWORD=... node --test test/browser/demo.test.mjs
// Optional: MIHARU_USER (admin), MIHARU_CAMERA (demo), MIHARU_FPS (25), MIHARU_SCREENSHOTS (a folder), MIHARU_CHROMIUM.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  chooseCamera,
  frameNumberAt,
  framesBetween,
  openInterval,
  playsLive,
  readFrame,
  screenshot,
  seekAndReadFrame,
  signIn,
  startBrowser,
  startMiharu,
  timeline,
} from './lib.mjs';

let url = process.env.MIHARU_URL;
let password = process.env.MIHARU_PASSWORD;
const user = process.env.MIHARU_USER ?? 'admin';
const camera = process.env.MIHARU_CAMERA ?? 'demo';
const fps = Number(process.env.MIHARU_FPS ?? 25);

const kSeeks = 10;
const kLookBack_ms = 10 * 60_000;
const kRecorded_ms = 4000;
/** Pictures are placed by their arrival, late on a busy machine. recording.test.mjs, by a set clock, is exact to the frame. */
const kMaxPlacement_ms = 200;
/** Live pictures older than this are not live. */
const kMaxLiveDelay_ms = 20_000;

let folder;
let server;
let browser;
let page;

before(async () => {
  if (!url) {
    folder = await mkdtemp(join(tmpdir(), 'miharu-demo-'));
    server = await startMiharu('--demo', '--data', folder);
    ({ url, password } = server);
  }
  browser = await startBrowser();
  page = browser.page;
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

test('without a session the interface answers 401 and the page asks for the password', async () => {
  for (const path of ['api/v1/cameras', `hls/${camera}/live.m3u8`]) {
    assert.equal((await fetch(new URL(path, url))).status, 401, path);
  }
  await page.goto(url);
  await page.locator('#sign-in').waitFor();
  assert.equal(await page.locator('#app').isVisible(), false);
  await screenshot(page, 'sign-in');
});

test('a wrong password is refused with a reason', async () => {
  await page.fill('#sign-in-user', user);
  await page.fill('#sign-in-password', `${password}-wrong`);
  await page.click('#sign-in-submit');
  await page.locator('#sign-in-error:not(:empty)').waitFor();
  assert.equal(await page.locator('#app').isVisible(), false);
});

test('live pictures play and their frame number advances with the clock', async () => {
  await signIn(page, url, { user, password });
  await chooseCamera(page, camera);
  await playsLive(page);
  const first = await readFrame(page);
  assert.notEqual(first.number, null, 'the live picture has a readable frame number');
  await page.waitForFunction((start) => window.miharu.wallClock() >= start + 2000, first.wallMs);
  const second = await readFrame(page);
  const shown_s = framesBetween(first.number, second.number) / fps;
  assert.ok(shown_s >= 1.8 && shown_s < 20, `${shown_s} s of pictures went by`);
  const delay_ms = (framesBetween(second.number, frameNumberAt(Date.now(), fps)) / fps) * 1000;
  assert.ok(delay_ms > -1000 && delay_ms < kMaxLiveDelay_ms, `live picture is ${delay_ms} ms old`);
  await screenshot(page, 'live');
});

/** What of the last minutes is recorded, in whole seconds, once it is long enough: live pictures come before the first part is written. */
async function recordedMinutes() {
  const deadline = Date.now() + kRecorded_ms + 30_000;
  for (;;) {
    const now = Date.now();
    const { spans } = await timeline(page, camera, now - kLookBack_ms, now);
    const start = spans.length ? Math.ceil(Date.parse(spans[0].start) / 1000) * 1000 : now;
    const end = spans.length ? Math.floor(Date.parse(spans.at(-1).end) / 1000) * 1000 : now;
    if (end - start >= kRecorded_ms) return { spans, start, end };
    assert.ok(now < deadline, `${end - start} ms are recorded`);
    await new Promise((done) => setTimeout(done, 200));
  }
}

/** How much later than `wallMs` the camera made what is shown. */
function offBy(frame, wallMs) {
  assert.notEqual(frame.number, null, `the picture at ${new Date(wallMs).toISOString()} has no readable frame number`);
  return (framesBetween(frameNumberAt(wallMs, fps), frame.number) / fps) * 1000;
}

/**
 * A busy machine leaves pictures of the demo camera out; a seek to one of those shows its neighbour. A neighbour is shown at its own
 * time as well, a picture in the wrong place is not.
 */
async function isAtItsOwnTime(madeMs, wallMs) {
  const off_ms = offBy(await seekAndReadFrame(page, madeMs), madeMs);
  const where = `${new Date(wallMs).toISOString()} shows the picture of ${new Date(madeMs).toISOString()}`;
  assert.ok(Math.abs(off_ms) <= kMaxPlacement_ms, `${where}, which itself is ${off_ms} ms off`);
}

test('playback of the last minutes shows the right picture at every wall-clock time', async () => {
  const { spans, start, end } = await recordedMinutes();
  await openInterval(page, start, end);

  const recorded = spans
    .map((span) => ({ start: Math.max(start, Date.parse(span.start)), end: Math.min(end, Date.parse(span.end)) }))
    .filter((span) => span.end > span.start);
  const total = recorded.reduce((sum, span) => sum + span.end - span.start, 0);
  for (let i = 0; i < kSeeks; ++i) {
    // Spread over what is recorded, in an order that jumps; the middle of a frame leaves no doubt about which one it is.
    let rest = total * (((i * 7) % kSeeks) + 0.5) / kSeeks;
    const span = recorded.find((one) => (rest -= one.end - one.start) < 0);
    const number = Math.floor(((span.end + rest) / 1000) * fps);
    const wallMs = ((number + 0.5) / fps) * 1000;
    const frame = await seekAndReadFrame(page, wallMs);
    const off_ms = offBy(frame, wallMs);
    if (Math.abs(off_ms) > kMaxPlacement_ms) await isAtItsOwnTime(wallMs + off_ms, wallMs);
    else assert.ok(Math.abs(frame.wallMs - wallMs) < 1000 / fps, `the page says ${frame.wallMs}, asked for ${wallMs}`);
  }
  await screenshot(page, 'playback');
});

test('playback stops at the end of the interval', async () => {
  const now = Date.now();
  const { spans } = await timeline(page, camera, now - kLookBack_ms, now);
  const end = Math.floor(Date.parse(spans.at(-1).end) / 1000) * 1000 - 1000;
  await openInterval(page, end - 2000, end);
  await page.locator('#message[data-kind="ended"]').waitFor();
  const { number } = await readFrame(page);
  const late = framesBetween(frameNumberAt(end, fps), number);
  assert.ok(late >= -2 && late <= Math.ceil(fps / 4), `stopped ${late} frames after the end`);
});

test('keys: frame steps move one frame, arrows ten seconds', async () => {
  const now = Date.now();
  const { spans } = await timeline(page, camera, now - kLookBack_ms, now);
  const last = spans.at(-1);
  const end = Math.floor(Date.parse(last.end) / 1000) * 1000;
  const start = Math.max(Math.ceil(Date.parse(last.start) / 1000) * 1000, end - 120_000);
  await openInterval(page, start, end);
  const middle = Math.floor(((start + end) / 2000) * fps);
  await seekAndReadFrame(page, ((middle + 0.5) / fps) * 1000);
  await page.locator('#timeline').focus();
  const wallBefore = await page.evaluate(() => window.miharu.wallClock());
  await page.keyboard.press('.');
  await page.waitForFunction((wall) => window.miharu.wallClock() > wall && !window.miharu.video.seeking, wallBefore);
  const stepped = await page.evaluate(() => window.miharu.wallClock());
  assert.ok(stepped - wallBefore > 10 && stepped - wallBefore < 100, `a frame step of ${stepped - wallBefore} ms`);
  if (end - start >= 30_000) {
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction((wall) => window.miharu.wallClock() < wall - 9000 && !window.miharu.video.seeking, stepped);
    const back = await page.evaluate(() => window.miharu.wallClock());
    assert.ok(Math.abs(stepped - back - 10_000) < 100, `back by ${stepped - back} ms`);
  }
});

test('a session that ended brings the sign-in form back', async () => {
  await browser.context.clearCookies();
  await page.locator('#sign-in').waitFor();
  await screenshot(page, 'signed-out');
});

test('the page kept to its content security policy and threw nothing', () => {
  assert.deepEqual(browser.errors, []);
});
