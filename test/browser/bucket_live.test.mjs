// Live through a bucket in Chromium: the page of `miharu serve` asks, `miharu run` hears of it from the bucket alone, and pictures move.
//   MIHARU_BIN=... MIHARU_PYTHON=... node --test test/browser/bucket_live.test.mjs
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startBucket } from './bucket_stack.mjs';
import { frameNumberAt, framesBetween, readFrame, screenshot, signIn, startBrowser, startMiharu, startServe } from './lib.mjs';

const kFps = 25;
const kPassword = 'correct horse';
/** The design: 13 s to a picture when nobody watched for long, and 6 s of delay. This machine may be busy. */
const kMostStart_ms = 30_000;
const kMostDelay_ms = 6000;
/** A wish holds 22 s, the recorder looks each 2 s. */
const kMostAfter_ms = 30_000;

let folder;
let bucket;
let relay;
let server;
let browser;
let page;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1];

async function until(holds, ms, what) {
  const end = Date.now() + ms;
  while (!(await holds())) {
    assert.ok(Date.now() < end, `not within ${ms} ms: ${what}`);
    await sleep(100);
  }
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'miharu-bucket-live-'));
  bucket = await startBucket(join(folder, 'bucket'));
  const config = join(folder, 'miharu.toml');
  await writeFile(config, `[record]\nsegment = "5s"\n${bucket.config()}`);
  relay = await startMiharu({ env: bucket.env('relay') }, '--config', config, '--data', join(folder, 'data'), '--camera',
    `front=demo:?fps=${kFps}&gop=2s`);
  const miharu = process.env.MIHARU_BIN ?? 'build/release/miharu';
  execFileSync(miharu, ['user', 'add', 'alice', '--store', bucket.url], {
    input: `${kPassword}\n`,
    env: { ...process.env, ...bucket.env('root') },
  });
  await until(async () => Object.keys(await bucket.keys('r1/rec/')).length > 0, 60_000, 'an object is in the bucket');
  server = await startServe(bucket.url, join(folder, 'serve.key'), bucket.env('reader'));
  browser = await startBrowser();
  page = browser.page;
  await signIn(page, server.url, { user: 'alice', password: kPassword });
});

after(async () => {
  await browser?.close();
  await server?.stop();
  await relay?.stop();
  await bucket?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** The age of the demo camera's picture by the number in it. */
async function delay_ms() {
  const { number } = await readFrame(page);
  return (framesBetween(number, frameNumberAt(Date.now(), kFps)) / kFps) * 1000;
}

const moves = () =>
  page.waitForFunction(
    () => window.miharu.mode === 'live' && window.miharu.video?.readyState >= 2 && window.miharu.video.currentTime > 0,
    undefined,
    { timeout: kMostStart_ms },
  );

test('a stored camera says so, and nothing is uploaded for it', async () => {
  const button = page.locator('button.camera[data-camera="front"]');
  assert.match(await button.locator('.camera-state').innerText(), /^stored/);
  assert.equal(await page.locator('#live').isVisible(), true);
  await page.waitForFunction(() => window.miharu.mode === 'playback' && window.miharu.wallClock() !== null);
  assert.deepEqual(await bucket.keys('r1/live/'), {});
});

test('live asks the recorder, and shows what its camera sends now', async (t) => {
  const began = Date.now();
  await page.click('#live');
  await page.locator('#message-text', { hasText: 'Asking the recorder' }).waitFor();
  await screenshot(page, 'bucket-live-asking');
  await moves();
  t.diagnostic(`first picture after ${Date.now() - began} ms`);
  await page.locator('#message').waitFor({ state: 'hidden' });
  await sleep(5000); // while it catches up
  const found = [];
  const numbers = [];
  for (let i = 0; i < 9; ++i) {
    await sleep(400);
    numbers.push((await readFrame(page)).number);
    found.push(await delay_ms());
  }
  t.diagnostic(`delay ${found.map(Math.round).join(' ')} ms`);
  assert.ok(numbers.every((number, i) => i === 0 || framesBetween(numbers[i - 1], number) > 0), `the picture stands still: ${numbers}`);
  assert.ok(median(found) > 0 && median(found) <= kMostDelay_ms, `${found} ms old`);
  assert.match(await page.evaluate(() => document.querySelector('miharu-player').shadowRoot.querySelector('.state').textContent),
    /^live, \d s behind$/);
  // What the page says is what the picture says.
  const said = await page.evaluate(() => document.querySelector('miharu-player').delay_ms());
  assert.ok(Math.abs(said - (await delay_ms())) < 1500, `${said}`);
  await screenshot(page, 'bucket-live');
});

test('on a narrow screen too', async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  await page.evaluate(() => window.scrollTo(0, 0));
  await screenshot(page, 'bucket-live-narrow');
  const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(wider <= 0, `${wider} pixels wider than the screen`);
  await page.setViewportSize({ width: 1280, height: 800 });
});

test('what was recorded meanwhile plays, and live comes back at once', async (t) => {
  await page.click('[data-last-minutes="5"]');
  await page.click('#interval-play');
  await page.waitForFunction(() => window.miharu.mode === 'playback' && window.miharu.wallClock() !== null);
  const began = Date.now();
  await page.click('#live');
  await moves();
  t.diagnostic(`first picture after ${Date.now() - began} ms`);
});

test('a recorder that is away is told, and pictures come when it is back', async () => {
  await bucket.proxy({ cut: 'refuse' });
  await page.waitForFunction(() => document.querySelector('miharu-player')?.state.kind === 'away', undefined, { timeout: 20_000 });
  await bucket.proxy({ cut: null });
  await page.waitForFunction(() => document.querySelector('miharu-player')?.state.kind === 'live', undefined, { timeout: 60_000 });
});

test('a page that is closed ends it', async () => {
  await page.goto('about:blank');
  const closed = Date.now();
  let seen = -1;
  let still_since = 0;
  await until(
    async () => {
      const count = Object.keys(await bucket.keys('r1/live/')).length;
      if (count !== seen) {
        seen = count;
        still_since = Date.now();
      }
      return Date.now() - still_since > 6000;
    },
    kMostAfter_ms + 15_000,
    'nothing more is uploaded',
  );
  const last = Math.max(...Object.values(await bucket.keys('r1/live/')).map(([, time]) => time * 1000));
  assert.ok(last - closed <= kMostAfter_ms, `uploaded for ${last - closed} ms`);
});

test('the page kept to its content security policy and threw nothing', () => {
  assert.deepEqual(browser.errors, []);
});
