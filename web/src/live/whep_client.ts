// WHEP (draft-ietf-wish-whep), the client's half of HTTP: no RTCPeerConnection in here.
import { LiveError } from './live_error';

export type Fetch = (address: string, init: RequestInit) => Promise<Response>;

const kTimeout_ms = 10_000;

/** The `ice-server` links of a response: `<stun:host:3478>; rel="ice-server"`, `<turn:…>; …; username="…"; credential="…"`. */
export function iceServers(link: string | null): RTCIceServer[] {
  const servers: RTCIceServer[] = [];
  for (const [, address = '', rest = ''] of (link ?? '').matchAll(/<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]+))*)/g)) {
    const parameters = new Map<string, string>();
    for (const [, name = '', quoted, plain] of rest.matchAll(/([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))/g)) {
      parameters.set(name.toLowerCase(), quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '');
    }
    if (parameters.get('rel') !== 'ice-server' || !/^(stun|turn)s?:/i.test(address)) continue;
    const username = parameters.get('username');
    const credential = parameters.get('credential');
    servers.push({ urls: address, ...(username === undefined ? {} : { username }), ...(credential === undefined ? {} : { credential }) });
  }
  return servers;
}

/** What a server's refusal means. */
export async function failure(response: Response): Promise<LiveError> {
  let message = `${response.status} ${response.statusText}`.trim();
  try {
    const problem = (await response.json()) as { detail?: unknown; title?: unknown } | null;
    if (typeof problem?.detail === 'string') message = problem.detail;
    else if (typeof problem?.title === 'string') message = problem.title;
  } catch {
    // Not a problem document: the status line has to do.
  }
  const { status } = response;
  if (status === 401) return new LiveError('signed_out', message);
  // A proxy answers for a server that is away.
  if (status === 502 || status === 504) return new LiveError('unreachable', message);
  if (status === 429 || status === 503) {
    const wait = Number(response.headers.get('Retry-After'));
    return new LiveError('busy', message, wait > 0 ? wait : null);
  }
  return new LiveError('unsupported', message);
}

async function send(fetcher: Fetch, address: string, init: RequestInit): Promise<Response> {
  try {
    return await fetcher(address, { credentials: 'same-origin', cache: 'no-store', signal: AbortSignal.timeout(kTimeout_ms), ...init });
  } catch {
    throw new LiveError('unreachable', 'the server does not answer');
  }
}

/** One viewer's session at the server. Its errors are `LiveError`s. */
export class WhepSession {
  private constructor(
    private readonly fetcher: Fetch,
    private readonly address: string,
    private etag: string | null,
    /** The server's description. */
    readonly answer: string,
    readonly iceServers: RTCIceServer[],
  ) {}

  /** `address` is absolute. */
  static async create(fetcher: Fetch, address: string, offer: string): Promise<WhepSession> {
    const response = await send(fetcher, address, { method: 'POST', headers: { 'Content-Type': 'application/sdp' }, body: offer });
    if (response.status !== 201) throw await failure(response);
    const location = response.headers.get('Location');
    if (!location) throw new LiveError('unsupported', 'the answer names no session');
    return new WhepSession(
      fetcher,
      new URL(location, address).href,
      response.headers.get('ETag'),
      await response.text(),
      iceServers(response.headers.get('Link')),
    );
  }

  /** Tells of candidates; without any it only asks whether the session is still there. `lost`: it is not. */
  async trickle(fragment: string): Promise<void> {
    const response = await this.patch(fragment, this.etag);
    // 412: an ICE restart overtook them; 405, 422 and the like: the server has no use for candidates.
    if (response.status === 404 || response.status === 410) throw new LiveError('lost', 'the server has ended the session');
    if (response.status === 401 || response.status >= 500) throw await failure(response);
  }

  /** The fragment with the server's new credentials. `lost`: only a new session helps. */
  async restart(fragment: string): Promise<string> {
    const response = await this.patch(fragment, '*');
    if (response.status !== 200) {
      const reason = await failure(response);
      throw reason.kind === 'unsupported' ? new LiveError('lost', reason.message) : reason;
    }
    this.etag = response.headers.get('ETag') ?? this.etag;
    return response.text();
  }

  /** Outlives the page. */
  end(): void {
    void this.fetcher(this.address, { method: 'DELETE', credentials: 'same-origin', keepalive: true }).catch(() => undefined);
  }

  private patch(body: string, etag: string | null): Promise<Response> {
    const headers: Record<string, string> = { 'Content-Type': 'application/trickle-ice-sdpfrag' };
    if (etag !== null) headers['If-Match'] = etag;
    return send(this.fetcher, this.address, { method: 'PATCH', headers, body });
  }
}
