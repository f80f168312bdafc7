import { describe, expect, test } from 'vitest';
import { LiveError } from '../src/live/live_error';
import { candidatesOf, iceCredentials, isHidden, restartedAnswer, trickleFragment } from '../src/live/sdp';
import { iceServers, WhepSession } from '../src/live/whep_client';
import type { Fetch } from '../src/live/whep_client';

const kAddress = 'http://cam.example/base/whep/front';

const kAnswer = [
  'v=0',
  'o=- 1 1 IN IP4 0.0.0.0',
  's=-',
  't=0 0',
  'a=group:BUNDLE 0 1',
  'm=video 9 UDP/TLS/RTP/SAVPF 102',
  'a=mid:0',
  'a=ice-ufrag:old',
  'a=ice-pwd:oldoldoldoldoldoldoldold',
  'a=candidate:1 1 udp 2130706431 192.0.2.1 8555 typ host',
  'a=end-of-candidates',
  'm=audio 9 UDP/TLS/RTP/SAVPF 111',
  'a=mid:1',
  'a=ice-ufrag:old',
  'a=ice-pwd:oldoldoldoldoldoldoldold',
  '',
].join('\r\n');

interface Request {
  readonly address: string;
  readonly init: RequestInit;
}

/** Answers in this order; `null` is a server that is away. */
function server(...responses: (Response | null)[]): { fetcher: Fetch; requests: Request[] } {
  const requests: Request[] = [];
  const fetcher: Fetch = async (address, init) => {
    requests.push({ address, init });
    const response = responses[requests.length - 1];
    if (!response) throw new TypeError('Failed to fetch');
    return response;
  };
  return { fetcher, requests };
}

const created = (headers: Record<string, string> = {}): Response =>
  new Response(kAnswer, { status: 201, headers: { Location: '/base/whep/front/s1', ETag: '"7"', ...headers } });

const header = (request: Request | undefined, name: string): string | null => new Headers(request?.init.headers).get(name);

async function thrown(promise: Promise<unknown>): Promise<LiveError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(LiveError);
  return error as LiveError;
}

describe('ice-server links', () => {
  test('STUN and TURN with credentials, others left out', () => {
    const link =
      '<stun:stun.example:3478>; rel="ice-server", <style.css>; rel=preload, ' +
      '<turn:turn.example:3478?transport=udp>; rel="ice-server"; username="1700:a,b"; credential="s\\"e;c,r=et"; credential-type="password"';
    expect(iceServers(link)).toEqual([
      { urls: 'stun:stun.example:3478' },
      { urls: 'turn:turn.example:3478?transport=udp', username: '1700:a,b', credential: 's"e;c,r=et' },
    ]);
  });

  test('no header, and what is no STUN or TURN address', () => {
    expect(iceServers(null)).toEqual([]);
    expect(iceServers('<https://example/>; rel="ice-server"')).toEqual([]);
  });
});

describe('a session', () => {
  test('posts the offer and takes the answer', async () => {
    const { fetcher, requests } = server(created({ Link: '<stun:s:1>; rel="ice-server"' }));
    const session = await WhepSession.create(fetcher, kAddress, 'offer');
    expect(requests[0]?.address).toBe(kAddress);
    expect(requests[0]?.init.method).toBe('POST');
    expect(requests[0]?.init.body).toBe('offer');
    expect(header(requests[0], 'Content-Type')).toBe('application/sdp');
    expect(session.answer).toBe(kAnswer);
    expect(session.iceServers).toEqual([{ urls: 'stun:s:1' }]);
  });

  test.each([
    [401, {}, 'signed_out', null],
    [403, {}, 'unsupported', null],
    [404, {}, 'unsupported', null],
    [406, {}, 'unsupported', null],
    [429, { 'Retry-After': '7' }, 'busy', 7],
    [503, {}, 'busy', null],
    [504, {}, 'unreachable', null],
  ])('%i is told apart', async (status, headers, kind, wait) => {
    const body = JSON.stringify({ title: 'No', detail: 'because of this' });
    const error = await thrown(WhepSession.create(server(new Response(body, { status, headers })).fetcher, kAddress, 'offer'));
    expect([error.kind, error.message, error.retryAfter_s]).toEqual([kind, 'because of this', wait]);
  });

  test('a server that is away', async () => {
    expect((await thrown(WhepSession.create(server(null).fetcher, kAddress, 'offer'))).kind).toBe('unreachable');
  });

  test('candidates go to its address, with its ETag; 412 is no failure, 404 is the end', async () => {
    const { fetcher, requests } = server(
      created(),
      new Response(null, { status: 204 }),
      new Response(null, { status: 412 }),
      new Response(null, { status: 404 }),
    );
    const session = await WhepSession.create(fetcher, kAddress, 'offer');
    await session.trickle('fragment');
    expect(requests[1]?.address).toBe('http://cam.example/base/whep/front/s1');
    expect(requests[1]?.init.method).toBe('PATCH');
    expect(header(requests[1], 'If-Match')).toBe('"7"');
    expect(header(requests[1], 'Content-Type')).toBe('application/trickle-ice-sdpfrag');
    await session.trickle('fragment');
    expect((await thrown(session.trickle('fragment'))).kind).toBe('lost');
  });

  test('an ICE restart takes any ETag and brings a new one', async () => {
    const { fetcher, requests } = server(
      created(),
      new Response('fresh', { status: 200, headers: { ETag: '"8"' } }),
      new Response(null, { status: 204 }),
      new Response(null, { status: 404 }),
    );
    const session = await WhepSession.create(fetcher, kAddress, 'offer');
    expect(await session.restart('fragment')).toBe('fresh');
    expect(header(requests[1], 'If-Match')).toBe('*');
    await session.trickle('more');
    expect(header(requests[2], 'If-Match')).toBe('"8"');
    expect((await thrown(session.restart('fragment'))).kind).toBe('lost');
  });

  test('its end outlives the page', async () => {
    const { fetcher, requests } = server(created(), new Response(null, { status: 200 }));
    (await WhepSession.create(fetcher, kAddress, 'offer')).end();
    expect(requests[1]?.init.method).toBe('DELETE');
    expect(requests[1]?.init.keepalive).toBe(true);
  });
});

describe('fragments', () => {
  test('credentials of the first media section, candidates, the end', () => {
    const ice = iceCredentials(kAnswer)!;
    const fragment = trickleFragment(ice, ['candidate:2 1 udp 1 192.0.2.9 4 typ host'], true);
    expect(fragment).toBe(
      'a=ice-ufrag:old\r\na=ice-pwd:oldoldoldoldoldoldoldold\r\nm=video 9 UDP/TLS/RTP/SAVPF 102\r\na=mid:0\r\n' +
        'a=candidate:2 1 udp 1 192.0.2.9 4 typ host\r\na=end-of-candidates\r\n',
    );
    expect(trickleFragment(ice, [], false)).not.toContain('end-of-candidates');
    expect(iceCredentials('v=0\r\n')).toBeNull();
  });

  test('hidden addresses', () => {
    expect(isHidden('candidate:1 1 udp 2113937151 0f3c2a.local 51472 typ host')).toBe(true);
    expect(isHidden('candidate:1 1 udp 2113937151 192.0.2.7 51472 typ host')).toBe(false);
  });

  test('the answer after an ICE restart', () => {
    const fragment = 'a=ice-ufrag:new\r\na=ice-pwd:newnewnewnewnewnewnewnew\r\na=candidate:9 1 udp 5 198.51.100.1 8555 typ host\r\n';
    const answer = restartedAnswer(kAnswer, fragment)!;
    expect(candidatesOf(answer)).toEqual(['candidate:9 1 udp 5 198.51.100.1 8555 typ host']);
    expect(answer).not.toContain('old');
    expect(answer).not.toContain('end-of-candidates');
    expect(answer.match(/a=ice-ufrag:new\r\n/g)).toHaveLength(2);
    expect(answer.indexOf('a=candidate')).toBeLessThan(answer.indexOf('m=audio'));
    expect(restartedAnswer(kAnswer, 'a=candidate:9 1 udp 5 198.51.100.1 8555 typ host\r\n')).toBeNull();
  });
});
