// The server's HTTP interface. Addresses are relative to the page, which may live below any base path.
import { withPayloadHash } from './payload_hash';

/** `stored`: the server has its recording, and not the camera. */
export type CameraState = 'recording' | 'connecting' | 'waiting' | 'off' | 'stored';

export interface Camera {
  readonly name: string;
  readonly state: CameraState;
  readonly codecs: readonly string[];
  readonly width: number;
  readonly height: number;
  readonly bitrate_bps: number;
  readonly last_error: string | null;
  /** RFC 3339. */
  readonly recorded_until: string | null;
  /** Unix milliseconds: all that was recorded before is in the bucket. None without a bucket. */
  readonly safe_until_ms?: number | null;
  /** Of a stored one: its recorder can be asked for live pictures. */
  readonly live?: boolean;
}

export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Gap extends Span {
  readonly reason: string;
  readonly text: string;
}

/** Times in Unix milliseconds. */
export interface Timeline {
  readonly from: number;
  readonly to: number;
  readonly spans: readonly Span[];
  readonly gaps: readonly Gap[];
}

export type ApiErrorKind = 'signed_out' | 'unreachable' | 'refused';

export class ApiError extends Error {
  constructor(
    readonly kind: ApiErrorKind,
    message: string,
    readonly status = 0,
    /** Seconds the server asked to wait (429), if it did. */
    readonly retryAfter_s: number | null = null,
  ) {
    super(message);
  }
}

const kTimeout_ms = 15_000;

async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    const timeout = AbortSignal.timeout(kTimeout_ms);
    const hashed = await withPayloadHash(init);
    response = await fetch(path, { credentials: 'same-origin', cache: 'no-cache', signal: timeout, ...hashed });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new ApiError('unreachable', String(error));
  }
  if (response.ok) return response;
  const detail = await problemText(response);
  // A proxy answers for a server that is away.
  if ([502, 504].includes(response.status)) throw new ApiError('unreachable', detail, response.status);
  const wait = Number(response.headers.get('Retry-After'));
  const kind = response.status === 401 ? 'signed_out' : 'refused';
  throw new ApiError(kind, detail, response.status, wait > 0 ? wait : null);
}

/** RFC 9457: `detail` explains this occurrence, `title` the kind. */
async function problemText(response: Response): Promise<string> {
  try {
    const problem: unknown = await response.json();
    if (typeof problem === 'object' && problem !== null) {
      const { detail, title } = problem as { detail?: unknown; title?: unknown };
      if (typeof detail === 'string') return detail;
      if (typeof title === 'string') return title;
    }
  } catch {
    // Not a problem document: the status line has to do.
  }
  return `${response.status} ${response.statusText}`.trim();
}

export async function createSession(credentials: { user: string; password: string } | { token: string }): Promise<void> {
  await request('./api/v1/session', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify(credentials),
  });
}

export async function deleteSession(): Promise<void> {
  await request('./api/v1/session', { method: 'DELETE' });
}

export async function getCameras(): Promise<Camera[]> {
  const response = await request('./api/v1/cameras');
  return ((await response.json()) as { cameras: Camera[] }).cameras;
}

export async function getTimeline(camera: string, from: number, to: number, signal?: AbortSignal): Promise<Timeline> {
  const address = `./api/v1/cameras/${encodeURIComponent(camera)}/timeline?${interval(from, to)}`;
  const response = await request(address, signal ? { signal } : {});
  const body = (await response.json()) as {
    from: string;
    to: string;
    spans: { start: string; end: string; playable?: boolean }[];
    gaps: { start: string; end: string; reason: string; text: string }[];
  };
  const times = (span: { start: string; end: string }): Span => ({
    start: Date.parse(span.start),
    end: Date.parse(span.end),
  });
  return {
    from: Date.parse(body.from),
    to: Date.parse(body.to),
    // What is in the bucket alone is nothing that a recorder can play.
    spans: body.spans.filter((span) => span.playable ?? true).map(times),
    gaps: body.gaps.map((gap) => ({ ...times(gap), reason: gap.reason, text: gap.text })),
  };
}

export async function getPlaylist(address: string, signal: AbortSignal): Promise<string> {
  return (await request(address, { signal })).text();
}

export function vodAddress(camera: string, from: number, to: number): string {
  return `./hls/${encodeURIComponent(camera)}/vod.m3u8?${interval(from, to)}`;
}

function interval(from: number, to: number): string {
  return `from=${Math.floor(from)}&to=${Math.ceil(to)}`;
}
