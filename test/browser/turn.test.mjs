// Live view through coturn: a browser that may use nothing but a relay, and a miharu that asks a STUN server for its address.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { frameReader, freeUdpPort, signIn, startBrowser, startMiharu } from './lib.mjs';

const kSecret = 'north-remembers';

let folder;
let turn;
let port;
let browser;
let server;

/** coturn with credentials of limited time; resolves when it listens. */
async function startTurn() {
  port = await freeUdpPort();
  turn = spawn(
    'turnserver',
    [
      ...['-n', '--no-cli', '--cli-password=unused', '--no-tls', '--no-dtls', '--no-tcp', '--allow-loopback-peers', '--log-file=stdout'],
      ...['--listening-ip=127.0.0.1', '--relay-ip=127.0.0.1', `--listening-port=${port}`, '--realm=test', '--use-auth-secret'],
      ...[`--static-auth-secret=${kSecret}`, `--pidfile=${join(folder, 'turn.pid')}`, `--userdb=${join(folder, 'turn.db')}`, '--verbose'],
    ],
    { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  turn.output = '';
  await new Promise((resolve, reject) => {
    const read = (text) => {
      turn.output += text;
      if (/listener opened on\s*:? 127\.0\.0\.1:/i.test(turn.output)) resolve();
    };
    turn.stdout.setEncoding('utf8').on('data', read);
    turn.stderr.setEncoding('utf8').on('data', read);
    turn.on('error', reject);
    turn.on('exit', (code) => reject(new Error(`turnserver ended with ${code}: ${turn.output}`)));
  });
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'miharu-turn-'));
  process.env.MIHARU_TEST_TURN_SECRET = kSecret;
  await startTurn();
});

after(async () => {
  await browser?.close();
  await server?.stop();
  if (turn && turn.exitCode === null) {
    turn.kill();
    await once(turn, 'exit');
  }
  if (folder) await rm(folder, { recursive: true, force: true });
});

/** The page of a miharu that has these lines under [live], in a browser that knows relays alone. */
async function open(name, live) {
  await browser?.close();
  await server?.stop();
  const config = join(folder, `${name}.toml`);
  await writeFile(config, `[live]\n${live}\nturn = { url = "turn:127.0.0.1:${port}?transport=udp", secret = "\${MIHARU_TEST_TURN_SECRET}" }\n`);
  server = await startMiharu('--config', config, '--data', join(folder, name), '--camera', 'demo=demo:');
  browser = await startBrowser();
  await browser.context.addInitScript(() => {
    window.peers = [];
    const relayed = (configuration) => ({ ...configuration, iceTransportPolicy: 'relay' });
    window.RTCPeerConnection = class extends RTCPeerConnection {
      constructor(configuration) {
        super(relayed(configuration));
        window.peers.push(this);
      }
      setConfiguration(configuration) {
        super.setConfiguration(relayed(configuration));
      }
    };
  });
  await signIn(browser.page, server.url, { password: server.password });
}

/** Waits until pictures move by WebRTC; gives the pair of candidates in use. */
async function playsThroughRelay() {
  const { page } = browser;
  await page.waitForFunction(
    () => {
      const state = document.querySelector('miharu-player')?.state;
      return state?.kind === 'live' && state.transport === 'webrtc';
    },
    undefined,
    { timeout: 60_000 },
  );
  await page.evaluate(`window.readNumber = ${await frameReader()}`);
  await page.waitForFunction(
    () => {
      const number = window.miharu.video?.videoWidth ? window.readNumber(window.miharu.video) : null;
      if (number === null) return false;
      window.firstNumber ??= number;
      return number - window.firstNumber >= 40;
    },
    undefined,
    { timeout: 60_000 },
  );
  return page.evaluate(async () => {
    const reports = await window.peers.find(({ connectionState }) => connectionState === 'connected').getStats();
    const all = [...reports.values()];
    const pair = reports.get(all.find((one) => one.type === 'transport').selectedCandidatePairId);
    return { local: reports.get(pair.localCandidateId), remote: reports.get(pair.remoteCandidateId) };
  });
}

const offer = () =>
  browser.page.evaluate(async () => {
    const pc = new RTCPeerConnection();
    pc.addTransceiver('video', { direction: 'recvonly' });
    await pc.setLocalDescription();
    const response = await fetch('./whep/demo', {
      method: 'POST',
      headers: { 'Content-Type': 'application/sdp' },
      body: pc.localDescription.sdp,
    });
    const answer = await response.text();
    await fetch(response.headers.get('Location'), { method: 'DELETE' });
    pc.close();
    return answer;
  });

test('pictures come through a relay, with the credentials that miharu makes', async () => {
  await open('lite', '');
  const { local } = await playsThroughRelay();
  assert.equal(local.candidateType, 'relay');
  assert.match(turn.output, /username <\d+:admin>.*usage|usage.*username=<\d+:admin>|user <\d+:admin>/);
  const answer = await offer();
  assert.match(answer, /^a=ice-lite\r?$/m);
  assert.doesNotMatch(answer, /typ srflx/);
});

test('a miharu that knows a STUN server tells its address there, and sends checks of its own', async () => {
  await open('full', `stun = "stun:127.0.0.1:${port}"`);
  let answer = '';
  for (let attempt = 0; attempt < 100 && !/typ srflx/.test(answer); ++attempt) answer = await offer();
  const [, host] = /^a=candidate:\S+ 1 udp \d+ (127\.0\.0\.1 \d+) typ host/m.exec(answer) ?? [];
  const [, mapped] = /^a=candidate:\S+ 1 udp \d+ (127\.0\.0\.1 \d+) typ srflx/m.exec(answer) ?? [];
  assert.ok(mapped, answer);
  assert.equal(mapped, host, 'there is no NAT here');
  assert.doesNotMatch(answer, /^a=ice-lite/m);
  const { local } = await playsThroughRelay();
  assert.equal(local.candidateType, 'relay');
  const checks = await browser.page.evaluate(async () => {
    const reports = [...(await window.peers.find(({ connectionState }) => connectionState === 'connected').getStats()).values()];
    return reports.filter((one) => one.type === 'candidate-pair').reduce((sum, one) => sum + one.requestsReceived, 0);
  });
  assert.ok(checks > 0, 'miharu sent no check');
});
