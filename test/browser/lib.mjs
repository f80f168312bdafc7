// Drives the player page in Debian's Chromium with the plain Playwright library of web/.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, mkdir, readFile, rm } from 'node:fs/promises';
import { createSocket } from 'node:dgram';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const requireFromWeb = createRequire(new URL('../../web/package.json', import.meta.url));
const { chromium } = requireFromWeb('playwright-core');
const typescript = requireFromWeb('typescript');

export const kChromium = process.env.MIHARU_CHROMIUM ?? '/usr/bin/chromium';
const kTimeout_ms = Number(process.env.MIHARU_TIMEOUT_MS ?? 30_000);

/**
 * A browser with a profile of its own. `errors` collects what the page's scripts throw and what the content security
 * policy refuses; close() ends the browser and removes the profile.
 */
export async function startBrowser({ width = 1280, height = 800, timezone = 'UTC' } = {}) {
  const profile = await mkdtemp(join(tmpdir(), 'miharu-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: kChromium,
    headless: true,
    viewport: { width, height },
    timezoneId: timezone,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--autoplay-policy=no-user-gesture-required',
    ],
  });
  context.setDefaultTimeout(kTimeout_ms);
  const page = context.pages()[0] ?? (await context.newPage());
  const errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  page.on('console', (message) => {
    if (/Content Security Policy/.test(message.text())) errors.push(message.text());
  });
  return {
    page,
    context,
    errors,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}

/**
 * `miharu run` (the program $MIHARU_BIN) with these arguments once it tells its address: on a port of the kernel's choice,
 * or `{ listen, password, env }` first: one that is started again, or has an environment of its own. It makes a password when its data folder is new.
 */
export async function startMiharu(...runArguments) {
  const again = typeof runArguments[0] === 'object' ? runArguments.shift() : {};
  const listen = again.listen ?? '127.0.0.1:0';
  return startProgram(['run', '--listen', listen, ...runArguments], again.env ?? {}, (output) => {
    const url = /Open (http\S+)/.exec(output)?.[1];
    const password = again.password ?? /^Sign in as admin with the password (\S+)$/m.exec(output)?.[1];
    return url && password ? { url, password } : null;
  });
}

/** `miharu serve` over a store, with the signing key in the file `key`. */
export async function startServe(store, key, env = {}) {
  return startProgram(['serve', '--store', store, '--listen', '127.0.0.1:0'], { ...env, MIHARU_TOKEN_KEY_FILE: key }, (output) => {
    const url = /Open (http\S+)/.exec(output)?.[1];
    return url ? { url } : null;
  });
}

/** The program $MIHARU_BIN, once `read` finds in its output what is to be known of it. */
async function startProgram(programArguments, env, read) {
  const program = spawn(process.env.MIHARU_BIN ?? 'build/release/miharu', programArguments, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  let output = '';
  const told = new Promise((resolve, reject) => {
    const listen = (text) => {
      output += text;
      const known = read(output);
      if (known) resolve(known);
    };
    program.stdout.setEncoding('utf8').on('data', listen);
    program.stderr.setEncoding('utf8').on('data', listen);
    program.on('error', reject);
    program.on('exit', (code) => reject(new Error(`miharu ended with ${code}: ${output}`)));
  });
  const stop = async () => {
    if (program.exitCode !== null || program.signalCode !== null) return;
    program.kill();
    await once(program, 'exit');
  };
  return { ...(await told), stop };
}

const kGstCamera = fileURLToPath(new URL('../integration/gst_camera.py', import.meta.url));

/** GStreamer's RTSP server, once it told its port. */
export async function startGst(...args) {
  const server = spawn('/usr/bin/python3', [kGstCamera, ...args], { stdio: ['ignore', 'pipe', 'ignore'] });
  const port = await new Promise((resolve, reject) => {
    server.stdout.setEncoding('utf8').once('data', (text) => resolve(Number(text)));
    server.once('exit', (code) => reject(new Error(`GStreamer's RTSP server ended with ${code}`)));
  });
  const stop = async () => {
    if (server.exitCode !== null || server.signalCode !== null) return;
    server.kill('SIGKILL');
    await once(server, 'exit');
  };
  return { port, process: server, stop };
}

/** A port that the kernel just gave, for a server that must be told one. */
export function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** The same for UDP. */
export function freeUdpPort() {
  return new Promise((resolve) => {
    const probe = createSocket('udp4').bind(0, () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** Pages opened from now on have no WebRTC: live pictures come by HLS. */
export function withoutWebrtc(context) {
  return context.addInitScript(() => delete window.RTCPeerConnection);
}

/** Opens the page and signs in through its form; resolves when the cameras are shown. */
export async function signIn(page, url, { user = 'admin', password }) {
  await page.goto(url);
  await page.locator('#sign-in').waitFor();
  await page.fill('#sign-in-user', user);
  await page.fill('#sign-in-password', password);
  await page.click('#sign-in-submit');
  await page.locator('#app').waitFor();
  await page.locator('button.camera').first().waitFor();
}

export async function chooseCamera(page, camera) {
  const button = page.locator(`button.camera[data-camera="${camera}"]`);
  await button.click();
  await page.locator(`button.camera[data-camera="${camera}"][aria-pressed="true"]`).waitFor();
}

/** Unix milliseconds as the value of a datetime-local field, for a browser in UTC; fields leave out seconds of 00. */
const localInput = (ms) => new Date(ms).toISOString().slice(0, 19).replace(/:00$/, '');

/** Types the interval (whole seconds, Unix milliseconds) into the form and waits for its first picture. */
export async function openInterval(page, fromMs, toMs) {
  await page.fill('#interval-from', localInput(fromMs));
  await page.fill('#interval-to', localInput(toMs));
  await page.click('#interval-play');
  await page.waitForFunction(() => window.miharu.mode === 'playback' && window.miharu.wallClock() !== null);
  await page.locator('#message').waitFor({ state: 'hidden' });
}

/** Goes live and waits for a picture. */
export async function playsLive(page) {
  await page.click('#live');
  await page.waitForFunction(
    () => window.miharu.mode === 'live' && window.miharu.video?.readyState >= 2 && window.miharu.video.currentTime > 0,
  );
  await page.locator('#message').waitFor({ state: 'hidden' });
}

/** A page of the server's origin with nothing but hls.js in it: how other players begin, by EXT-X-START alone. */
export async function barePage(browser, server) {
  const script = await readFile(new URL('../../web/node_modules/hls.js/dist/hls.min.js', import.meta.url), 'utf8');
  const bare = await browser.context.newPage();
  const address = new URL('test/bare.html', server.url).href;
  await bare.route(address, (route) =>
    route.fulfill({ contentType: 'text/html', body: '<!doctype html><title>bare</title><video muted></video>' }),
  );
  await bare.goto(address);
  await bare.addScriptTag({ content: script });
  return bare;
}

let reader = null;

/** An expression that gives a function in the page: the frame number in the picture of a video element, or null. */
export async function frameReader() {
  if (reader === null) {
    const source = await readFile(new URL('../../web/src/frame_number.ts', import.meta.url), 'utf8');
    const { outputText } = typescript.transpileModule(source, {
      compilerOptions: { module: typescript.ModuleKind.CommonJS, target: typescript.ScriptTarget.ES2022 },
    });
    reader = `(() => {
      const exports = {};
      ${outputText}
      return (video) => {
        const { videoWidth: width, videoHeight: height } = video;
        const strip = Math.ceil((height * 2) / 15);
        const canvas = new OffscreenCanvas(width, strip);
        const context = canvas.getContext('2d', { willReadFrequently: true });
        context.drawImage(video, 0, 0);
        return exports.readFrameNumber({ width, height, data: context.getImageData(0, 0, width, strip).data });
      };
    })()`;
  }
  return reader;
}

/** The picture on the screen: its frame number (null when it has none) and the wall clock the page gives it (Unix ms). */
export async function readFrame(page) {
  return page.evaluate(`({ number: ${await frameReader()}(window.miharu.video), wallMs: window.miharu.wallClock() })`);
}

/** Pauses, seeks to a wall-clock time and reads the picture that is then on the screen. */
export async function seekAndReadFrame(page, wallMs) {
  await page.evaluate((ms) => {
    window.miharu.video.pause();
    return window.miharu.seekToWallClock(ms);
  }, wallMs);
  await page.waitForFunction(() => window.miharu.video.readyState >= 2 && !window.miharu.video.seeking);
  return readFrame(page);
}

/** The number in the demo camera's picture at a wall-clock time. */
export function frameNumberAt(wallMs, fps) {
  return Math.floor((wallMs / 1000) * fps) % 2 ** 32;
}

/** Frames from one number to another, negative when `to` is earlier; numbers come round after 2^32. */
export function framesBetween(from, to) {
  return ((to - from + 3 * 2 ** 31) % 2 ** 32) - 2 ** 31;
}

/** Spans and gaps of a camera as the page's own session sees them. */
export async function timeline(page, camera, fromMs, toMs) {
  return page.evaluate(
    async ([name, from, to]) => {
      const response = await fetch(`./api/v1/cameras/${encodeURIComponent(name)}/timeline?from=${from}&to=${to}`);
      if (!response.ok) throw new Error(`timeline: ${response.status}`);
      return response.json();
    },
    [camera, fromMs, toMs],
  );
}

/** Writes NAME.png into $MIHARU_SCREENSHOTS, if that is set. */
export async function screenshot(page, name) {
  const folder = process.env.MIHARU_SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

/** Deterministic numbers from 0 to 1 (mulberry32). */
export function random(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
