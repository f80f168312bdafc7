// Asks the server of a bucket for live pictures of a camera, again and again: its recorder puts them there for as long.
import { LiveError } from './live_error';
import type { Waiting } from './transport';
import { failure } from './whep_client';
import type { Fetch } from './whep_client';

/** The recorder looks each 10 s when nobody watched for long, and then has a group of pictures to upload. */
const kPatience_ms = 20_000;
const kLook_ms = 400;
const kAgain_ms = 10_000;
/** A wish holds for 22 s. */
const kRetry_ms = 2000;
const kTimeout_ms = 8000;

export interface LiveWishEvents {
  onWaiting(waiting: Waiting): void;
  /** The playlist (absolute) has pictures. Once. */
  onPlaylist(address: string): void;
  onEnd(error: LiveError): void;
}

export class LiveWish {
  private stopped = false;
  private readonly since = Date.now();
  private address: string | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private lookTimer: ReturnType<typeof setTimeout> | undefined;
  private waiting: Waiting | null = null;

  /** `wish`: api/v1/cameras/{camera}/live. What it answers counts from `base`. */
  constructor(
    private readonly fetcher: Fetch,
    private readonly wish: string,
    private readonly base: string,
    private readonly events: LiveWishEvents,
  ) {
    this.tell('asking');
    void this.ask();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    clearTimeout(this.lookTimer);
  }

  private async ask(): Promise<void> {
    let again_ms = kRetry_ms;
    try {
      const response = await this.send(this.wish, { method: 'POST' });
      if (this.stopped) return;
      if (!response.ok) {
        const error = await failure(response);
        if (!this.stopped && (this.address === null || error.kind === 'signed_out')) this.end(error);
      } else {
        const answer = (await response.json()) as { playlist: string; again_ms?: number };
        if (this.stopped) return;
        again_ms = answer.again_ms ?? kAgain_ms;
        this.take(new URL(answer.playlist, this.base).href);
      }
    } catch {
      // Nothing came back: tried again, the wish before still holds for a while.
      if (!this.stopped && this.address === null) this.end(new LiveError('unreachable', 'the server does not answer'));
    }
    if (!this.stopped) this.timer = setTimeout(() => void this.ask(), again_ms);
  }

  private take(address: string): void {
    if (address === this.address) return;
    if (this.address !== null) {
      // The wish before it had ended: this machine slept.
      this.end(new LiveError('lost', 'the recorder had ended it'));
      return;
    }
    this.address = address;
    void this.look(address);
  }

  private async look(address: string): Promise<void> {
    try {
      const response = await this.send(address, { method: 'GET' });
      const text = response.ok ? await response.text() : null;
      if (this.stopped) return;
      if (response.status === 401) {
        this.end(new LiveError('signed_out', ''));
        return;
      }
      if (text?.includes('#EXTINF')) {
        this.events.onPlaylist(address);
        return;
      }
      if (text !== null) this.tell('camera_away');
      else if (Date.now() - this.since > kPatience_ms) this.tell('recorder_away');
    } catch {
      if (this.stopped) return;
    }
    this.lookTimer = setTimeout(() => void this.look(address), kLook_ms);
  }

  private send(address: string, init: RequestInit): Promise<Response> {
    const signal = AbortSignal.timeout(kTimeout_ms);
    return this.fetcher(address, { credentials: 'same-origin', cache: 'no-store', signal, ...init });
  }

  private tell(waiting: Waiting): void {
    if (waiting === this.waiting) return;
    this.waiting = waiting;
    this.events.onWaiting(waiting);
  }

  private end(error: LiveError): void {
    this.stop();
    this.events.onEnd(error);
  }
}
