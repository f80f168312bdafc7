// The page of `miharu serve`: sign-in by the users of the store, and intervals of a recording that another program made, with
// the right picture at each time.
//   MIHARU_BIN=... MIHARU_MAKE_RECORDING=... node --test test/browser/serve.test.mjs
// MIHARU_INTERVALS=N plays so many random intervals; MIHARU_SEED=N chooses the same as the run that told N.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  chooseCamera,
  frameNumberAt,
  framesBetween,
  openInterval,
  random,
  screenshot,
  seekAndReadFrame,
  signIn,
  startBrowser,
  startServe,
} from './lib.mjs';

const kIntervals = Number(process.env.MIHARU_INTERVALS ?? 12);
const kSeed = Number(process.env.MIHARU_SEED ?? Math.floor(Math.random() * 1e9));
const kPassword = 'correct horse';

let folder;
let server;
let browser;
let page;
let recording;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'miharu-serve-'));
  const store = join(folder, 'store');
  const tool = process.env.MIHARU_MAKE_RECORDING ?? 'build/release/test/tools/make_recording';
  recording = JSON.parse(execFileSync(tool, [store], { encoding: 'utf8' }));
  const miharu = process.env.MIHARU_BIN ?? 'build/release/miharu';
  execFileSync(miharu, ['user', 'add', 'alice', '--store', store], { input: `${kPassword}\n` });
  server = await startServe(store, join(folder, 'serve.key'));
  browser = await startBrowser();
  page = browser.page;
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

test('a wrong password is refused, the right one shows what is recorded of the first camera', async () => {
  await page.goto(server.url);
  await page.fill('#sign-in-user', 'alice');
  await page.fill('#sign-in-password', 'wrong horse');
  await page.click('#sign-in-submit');
  await page.locator('#sign-in-error:not(:empty)').waitFor();
  await signIn(page, server.url, { user: 'alice', password: kPassword });
  assert.deepEqual(
    await page.locator('button.camera').evaluateAll((buttons) => buttons.map((button) => button.dataset.camera)),
    recording.cameras,
  );
  assert.equal(await page.locator('#live').isVisible(), false);
  await page.waitForFunction(() => window.miharu.mode === 'playback' && window.miharu.wallClock() !== null);
  await screenshot(page, 'serve');
});

test('random intervals play, with the right picture', async (t) => {
  t.diagnostic(`MIHARU_SEED=${kSeed}`);
  const next = random(kSeed);
  const whole = (ms) => Math.round(ms / 1000) * 1000;
  for (let i = 0; i < kIntervals; ++i) {
    const camera = recording.cameras[i % recording.cameras.length];
    await chooseCamera(page, camera);
    const from = whole(recording.start + next() * (recording.end - recording.start - 20_000));
    const to = Math.min(whole(recording.end) - 1000, from + whole(5000 + next() * 60_000));
    const inGap = (ms) => ms >= recording.gap.start - 1000 && ms < recording.gap.end + 1000;
    if (inGap(from)) continue;
    await openInterval(page, from, to);
    for (let k = 0; k < 3; ++k) {
      const index = Math.floor(((from + next() * (to - from - 1000)) / 1000) * recording.fps);
      const wallMs = ((index + 0.5) / recording.fps) * 1000;
      if (inGap(wallMs)) continue;
      const frame = await seekAndReadFrame(page, wallMs);
      const off = framesBetween(frameNumberAt(wallMs, recording.fps), frame.number ?? NaN);
      assert.equal(off, 0, `${camera} at ${new Date(wallMs).toISOString()}`);
    }
  }
});

test('what only the recorder can do is told', async () => {
  const refused = await page.evaluate(async () => {
    const answers = {};
    for (const [method, path] of [
      ['POST', 'whep/fmp4'],
      ['POST', 'offer'],
      ['GET', 'hls/fmp4/live.m3u8'],
      ['GET', 'api/v1/cameras/fmp4/export.mp4?from=0&to=1'],
    ]) {
      const response = await fetch(path, { method });
      answers[path] = [response.status, (await response.json()).detail];
    }
    return answers;
  });
  for (const [path, [status, detail]] of Object.entries(refused)) {
    assert.equal(status, 501, path);
    assert.match(detail, path.includes('export') ? /miharu export/ : /miharu run/, path);
  }
});

test('signing out ends it', async () => {
  await page.click('#sign-out');
  await page.locator('#sign-in').waitFor();
  assert.equal((await fetch(new URL('api/v1/cameras', server.url))).status, 401);
});

test('the page kept to its content security policy and threw nothing', () => {
  assert.deepEqual(browser.errors, []);
});
