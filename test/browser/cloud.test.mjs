// A recording that `miharu run` uploaded as a backlog, played in Chromium with nothing but the bucket behind it: from
// `miharu serve`, and from the Lambda function in AWS's emulator with a CDN in front. Each picture carries its frame number.
//   MIHARU_BIN=... MIHARU_MAKE_RECORDING=... MIHARU_BOOTSTRAP=... node --test test/browser/cloud.test.mjs
// MIHARU_INTERVALS=N plays so many random intervals each way (MIHARU_FULL=1: 200); MIHARU_SEED=N chooses the same again.
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  chooseCamera,
  frameNumberAt,
  framesBetween,
  random,
  screenshot,
  seekAndReadFrame,
  signIn,
  startBrowser,
  startMiharu,
  startServe,
} from './lib.mjs';

const kIntervals = Number(process.env.MIHARU_INTERVALS ?? (process.env.MIHARU_FULL === '1' ? 200 : 10));
const kSeed = Number(process.env.MIHARU_SEED ?? Math.floor(Math.random() * 1e9));
const kPassword = 'correct horse';
const kBootstrap = process.env.MIHARU_BOOTSTRAP ?? 'build/lambda/bootstrap';
const miharu = process.env.MIHARU_BIN ?? 'build/release/miharu';
const run = promisify(execFile);

let folder;
let stage;
let relay;
let recording;

/** A bucket, and with a function what AWS puts around it; ask() sends a command and gives its answer. */
async function startStage(place, withFunction) {
  const cache = process.env.MIHARU_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'miharu');
  const python = process.env.MIHARU_PYTHON ?? join(cache, 'python-tests/bin/python');
  const script = fileURLToPath(new URL('../integration/cloud_stage.py', import.meta.url));
  const program = spawn(python, [script, place, ...(withFunction ? ['--function'] : [])], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, MIHARU_BOOTSTRAP: kBootstrap },
  });
  const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the stage ended');
    return JSON.parse(value);
  };
  return {
    ...(await next()),
    ask(command) {
      program.stdin.write(`${command}\n`);
      return next();
    },
    async stop() {
      program.stdin.end();
      if (program.exitCode === null) await once(program, 'exit');
    },
  };
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'miharu-cloud-'));
  const store = join(folder, 'store');
  const tool = process.env.MIHARU_MAKE_RECORDING ?? 'build/release/test/tools/make_recording';
  recording = JSON.parse(execFileSync(tool, [store], { encoding: 'utf8' }));
  stage = await startStage(folder, existsSync(kBootstrap));
  // The recorder cannot reach the bucket when it starts: all that is on its disk becomes a backlog.
  await stage.ask('stop');
  const config = join(folder, 'miharu.toml');
  await writeFile(
    config,
    `[store]\npath = "${store}"\nkeep = { age = "36500d" }\n[record]\nsegment = "5s"\n${stage.config}\n` +
      '[[camera]]\nname = "now"\nurl = "demo:?size=384x240&fps=12&gop=1s"\n',
  );
  Object.assign(process.env, stage.env.relay);
  relay = await startMiharu('--config', config, '--data', join(folder, 'data'));
  await stage.ask('start');
  const deadline = Date.now() + 120_000;
  for (;;) {
    const missing = await stage.ask(`missing ${store}`);
    // What the camera recorded meanwhile may be on its way.
    if (missing <= 1) break;
    assert.ok(Date.now() < deadline, `${missing} objects are not in the bucket`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  await relay.stop();
  relay = null;
  const admin = { env: { ...process.env, ...stage.env.admin } };
  execFileSync(miharu, ['user', 'add', 'alice', '--store', stage.store], { ...admin, input: `${kPassword}\n` });
  await run(miharu, ['publish', '--store', stage.store], admin);
});

after(async () => {
  await relay?.stop();
  await stage?.stop();
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** Signs in and plays random intervals across the gap, the border of an hour and changes of parameters. */
async function plays(t, url, name) {
  const browser = await startBrowser();
  try {
    const { page } = browser;
    t.diagnostic(`MIHARU_SEED=${kSeed}`);
    await signIn(page, url, { user: 'alice', password: kPassword });
    const cameras = await page.locator('button.camera').evaluateAll((all) => all.map((one) => one.dataset.camera));
    assert.deepEqual(cameras.filter((each) => each !== 'now').sort(), [...recording.cameras].sort());
    const next = random(kSeed);
    const whole = (ms) => Math.round(ms / 1000) * 1000;
    const inGap = (ms) => ms >= recording.gap.start - 1000 && ms < recording.gap.end + 1000;
    let played = 0;
    let pictures = 0;
    let acrossGap = 0;
    let acrossHour = 0;
    const border = Math.ceil(recording.start / 3_600_000) * 3_600_000;
    while (played < kIntervals) {
      const from = whole(recording.start + next() * (recording.end - recording.start - 20_000));
      const to = Math.min(whole(recording.end) - 1000, from + whole(5000 + next() * 60_000));
      if (inGap(from)) continue;
      const camera = recording.cameras[played % recording.cameras.length];
      await chooseCamera(page, camera);
      // Resolves when it plays: whoever seeks before may be overtaken by the player's own jump to the start.
      await page.evaluate((interval) => window.miharu.playInterval(...interval, true), [from, to]);
      ++played;
      acrossGap += from < recording.gap.start && to > recording.gap.end ? 1 : 0;
      acrossHour += from < border && to > border ? 1 : 0;
      for (const place of [next(), next(), next()]) {
        const index = Math.floor(((from + place * (to - from - 1000)) / 1000) * recording.fps);
        const wallMs = ((index + 0.5) / recording.fps) * 1000;
        if (inGap(wallMs)) continue;
        const frame = await seekAndReadFrame(page, wallMs);
        const off = framesBetween(frameNumberAt(wallMs, recording.fps), frame.number ?? NaN);
        assert.equal(off, 0, `${camera} at ${new Date(wallMs).toISOString()}`);
        ++pictures;
      }
    }
    t.diagnostic(`${played} intervals, ${acrossGap} across the gap, ${acrossHour} across the hour, ${pictures} pictures`);
    await screenshot(page, name);
    assert.deepEqual(browser.errors, []);
  } finally {
    await browser.close();
  }
}

test('from `miharu serve`: random intervals play, with the right picture', async (t) => {
  const server = await startServe(stage.store, stage.key, stage.env.reader);
  try {
    await plays(t, server.url, 'cloud-serve');
  } finally {
    await server.stop();
  }
});

test('from the function and the bucket: random intervals play, with the right picture', async (t) => {
  if (!stage.function) return t.skip('./dev lambda makes the program');
  await plays(t, `${stage.function}/`, 'cloud-lambda');
});
