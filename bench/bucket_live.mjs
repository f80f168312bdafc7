// Live through the bucket over a slow line with a backlog: how soon a picture comes in Chromium after "Live" was pressed in the page of
// `miharu serve`, how old it is, and how long the recorder uploads after the page was left.
//
//   MIHARU_BIN=build/release/miharu node bench/bucket_live.mjs [--cold 8] [--warm 8] [--up 5] [--round-trip 40] [--gop 4s] [--size 1280x720]
//
// The store is versitygw behind test/integration/faulty_proxy.py, which is the line: --up Mbit/s for all connections together. Cold: the
// recorder was started anew, so nobody watched for long and it looks each 10 s. Warm: somebody watched some half a minute ago, it looks
// each 2 s. The phase of both is spread evenly. The backlog is one object many times over, under other names: it lasts longer than this.
import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { startBucket } from '../test/browser/bucket_stack.mjs';
import { frameReader, signIn, startBrowser, startMiharu, startServe } from '../test/browser/lib.mjs';

const { values: options } = parseArgs({
  options: {
    cold: { type: 'string', default: '8' },
    warm: { type: 'string', default: '8' },
    up: { type: 'string', default: '5' },
    'round-trip': { type: 'string', default: '40' },
    gop: { type: 'string', default: '4s' },
    size: { type: 'string', default: '1280x720' },
    trace: { type: 'boolean', default: false },
  },
});
const kFps = 25;
const kWatch_ms = 12_000;
const kSettle_ms = 3000;
const kBacklog = 400;
const kGoldenRatio = 0.618033988749895;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const share = (numbers, part) => [...numbers].sort((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(part * numbers.length))];
const seconds = (ms) => (ms / 1000).toFixed(1);
const spread = (numbers) => `median ${seconds(share(numbers, 0.5))} s, most ${seconds(share(numbers, 1))} s, of ${numbers.length}`;

async function until(holds, ms, what) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await holds();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(100);
  }
}

async function files(folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.filter((each) => each.isFile() && /^\d{8}T.*\.mp4$/.test(each.name)).map((each) => join(each.parentPath ?? each.path, each.name));
}

/** One object under many names, each a minute earlier than the one before. */
async function makeBacklog(store) {
  const [file] = await files(join(store, 'rec/front'));
  const name = file.slice(file.lastIndexOf('/') + 1);
  const [start, run, seq, ...table] = name.split('_');
  const moment = Date.parse(start.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{3})Z$/, '$1-$2-$3T$4:$5:$6Z'));
  for (let i = 1; i <= kBacklog; ++i) {
    const at = new Date(moment - i * 60_000).toISOString();
    const folder = join(store, 'rec/bulk', at.slice(0, 4), at.slice(5, 7), at.slice(8, 10), at.slice(11, 13));
    await mkdir(folder, { recursive: true });
    const number = (parseInt(seq, 36) - i * 100).toString(36);
    await link(file, join(folder, [at.replace(/[-:]/g, ''), run, number, ...table].join('_')));
  }
  return (await stat(file)).size;
}

const folder = await mkdtemp(join(tmpdir(), 'miharu-bucket-bench-'));
const bucket = await startBucket(join(folder, 'bucket'));
const config = join(folder, 'miharu.toml');
const data = join(folder, 'data');
await writeFile(config, `[record]\nsegment = "30s"\n${bucket.config()}`);
let password;
const startRelay = async () => {
  const relay = await startMiharu({ env: bucket.env('relay'), password }, '--config', config, '--data', data, '--camera',
    `front=demo:?fps=${kFps}&gop=${options.gop}&size=${options.size}`);
  password ??= relay.password;
  return relay;
};

let relay = await startRelay();
let server;
let browser;
try {
  await until(async () => (await files(join(data, 'store/rec/front'))).length > 0, 90_000, 'an object');
  await until(async () => Object.keys(await bucket.keys('r1/rec/front/')).length > 0, 90_000, 'an object in the bucket');
  await relay.stop();
  const object_bytes = await makeBacklog(join(data, 'store'));
  const key = join(folder, 'serve.key');
  execFileSync(process.env.MIHARU_BIN ?? 'build/release/miharu', ['user', 'add', 'alice', '--store', bucket.url], {
    input: 'correct horse\n',
    env: { ...process.env, ...bucket.env('root') },
  });
  server = await startServe(bucket.url, key, bucket.env('reader'));
  await bucket.proxy({ up: Number(options.up) * 1e6, rtt: Number(options['round-trip']) / 1000 });
  browser = await startBrowser();
  const { page } = browser;
  await signIn(page, server.url, { user: 'alice', password: 'correct horse' });
  await page.evaluate(`window.readNumber = ${await frameReader()}`);

  /** From the press of the button to the page's leaving it. */
  const watch = () =>
    page.evaluate(
      async ([fps, watch_ms, settle_ms]) => {
        const began = performance.now();
        document.querySelector('#live').click();
        const player = await new Promise((resolve) => {
          const look = () => {
            const found = document.querySelector('miharu-player');
            if (found) resolve(found);
            else setTimeout(look, 5);
          };
          look();
        });
        const first = await new Promise((resolve) => {
          const look = () => {
            const video = player.video;
            if (!video) return void setTimeout(look, 5);
            video.requestVideoFrameCallback((now) => resolve(now - began));
          };
          look();
        });
        const delays = [];
        const looks = [];
        const numbers = [];
        let stalls = 0;
        const shown = performance.now();
        while (performance.now() < shown + watch_ms) {
          await new Promise((resolve) => setTimeout(resolve, 250));
          const number = player.video ? window.readNumber(player.video) : null;
          if (number === null) continue;
          if (numbers.at(-1) === number) ++stalls;
          numbers.push(number);
          const turn = 2 ** 32;
          const turns = Math.round(((Date.now() / 1000) * fps - number) / turn);
          const delay = Date.now() - ((number + turns * turn) * 1000) / fps;
          if (performance.now() > shown + settle_ms) delays.push(delay);
          const { buffered, currentTime } = player.video;
          const ahead = buffered.length > 0 ? buffered.end(buffered.length - 1) - currentTime : 0;
          looks.push(`${((performance.now() - shown) / 1000).toFixed(1)}:${(delay / 1000).toFixed(1)}-${ahead.toFixed(1)}`);
        }
        return { first, delays, stalls, looks };
      },
      [kFps, kWatch_ms, kSettle_ms],
    );
  /** The recorded past instead; gives when the recorder put its last thing, counted from then. */
  const leave = async () => {
    await page.click('#interval-play');
    const left = Date.now();
    let last = 0;
    await until(
      async () => {
        const puts = (await bucket.proxy({ report: true })).requests.filter((each) => each.kind === 'put' && each.target.includes('/live/'));
        for (const each of puts) last = Math.max(last, (each.done ?? each.at) * 1000);
        return Date.now() - Math.max(last, left) > 8000 && Date.now() - left > 20_000;
      },
      90_000,
      'the recorder stops',
    );
    return Math.max(0, last - left);
  };
  const draining = async () => (await files(join(data, 'store/rec'))).length - Object.keys(await bucket.keys('r1/rec/')).length;

  const all = { delays: [], stops: [], stalls: 0, samples: 0 };
  const trial = async () => {
    const found = await watch();
    all.delays.push(...found.delays);
    all.stalls += found.stalls;
    all.samples += found.delays.length;
    const stop = await leave();
    all.stops.push(stop);
    if (options.trace)
      console.log(`first ${seconds(found.first)} s, delay ${seconds(share(found.delays, 0.5))} to ${seconds(share(found.delays, 1))} s, stands ${found.stalls}, stops ${seconds(stop)} s\n  time:delay-buffered ${found.looks.join(' ')}`);
    return found.first;
  };
  const load = loadavg()[0];
  const cold = [];
  for (let i = 0; i < Number(options.cold); ++i) {
    relay = await startRelay();
    await sleep(9000 + 10_000 * ((i * kGoldenRatio) % 1));
    cold.push(await trial());
    if (i + 1 < Number(options.cold) || Number(options.warm) === 0) await relay.stop();
  }
  if (cold.length === 0) {
    relay = await startRelay();
    await sleep(9000);
    await trial();
  }
  const warm = [];
  for (let i = 0; i < Number(options.warm); ++i) {
    await sleep(2000 * ((i * kGoldenRatio) % 1));
    warm.push(await trial());
  }
  console.log(`${options.size} at ${kFps} pictures a second, GOP ${options.gop}, ${((object_bytes * 8) / 30e6).toFixed(1)} Mbit/s; line of ${options.up} Mbit/s up, round trip ${options['round-trip']} ms; ${await draining()} objects wait; load ${load.toFixed(1)} before, ${loadavg()[0].toFixed(1)} after`);
  if (cold.length) console.log(`first picture, nobody watched for long: ${spread(cold)}`);
  if (warm.length) console.log(`first picture, somebody watched lately: ${spread(warm)}`);
  console.log(`delay from 3 s after it: ${spread(all.delays)} looks; the picture stood still in ${all.stalls} of ${all.samples}`);
  console.log(`uploads end after the page was left: ${spread(all.stops)}`);
} finally {
  await browser?.close();
  await server?.stop();
  await relay.stop();
  await bucket.stop();
  await rm(folder, { recursive: true, force: true });
}
