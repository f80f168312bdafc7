import Hls from 'hls.js/light';
import type { LevelDetails, LoaderResponse } from 'hls.js';
import { ClockTable } from '../clock_table';
import type { ClockEntry } from '../clock_table';
import { LiveError } from './live_error';
import { createVideo } from './transport';
import type { Transport, TransportEvents } from './transport';

export interface HlsOptions {
  /** How far from the end of the list; 0: the list says (PART-HOLD-BACK). */
  readonly behind_s: number;
  /** Further behind than that by so much, and 10 % more speed would take too long. */
  readonly maxBehind_s: number;
  /** Only what is buffered may be jumped to: segments do not all begin with a key frame. */
  readonly stayBuffered: boolean;
}

const kParts: HlsOptions = { behind_s: 0, maxBehind_s: 3, stayBuffered: false };
/** Segments of a second that come each second: one is played, one is on its way, and half of one for what is late. */
export const kSegments: HlsOptions = { behind_s: 2.5, maxBehind_s: 1, stayBuffered: true };
/** Left in the buffer by a jump: the next segment is about to come. */
const kSpare_s = 1.2;
/** A picture that stands still for so long is said to, and after so long it is loaded anew. */
const kStall_ms = 4000;
const kReload_ms = 60_000;
/** Something is wrong when nothing is shown by then. */
const kStart_ms = 20_000;
const kWatch_ms = 250;

/** A camera or a server that is away for a while comes back: only an answer that says no ends the trying. */
const kPatient = {
  timeoutRetry: { maxNumRetry: Infinity, retryDelayMs: 0, maxRetryDelayMs: 0 },
  errorRetry: {
    maxNumRetry: Infinity,
    retryDelayMs: 250,
    maxRetryDelayMs: 1000,
    shouldRetry: (_config: unknown, _count: number, isTimeout: boolean, response: LoaderResponse | undefined): boolean =>
      isTimeout || !response?.code || response.code >= 500,
  },
};

/** Pictures over HLS from the live playlist at `address` (absolute). */
export class HlsTransport implements Transport {
  readonly kind = 'hls';
  readonly video: HTMLVideoElement;
  private readonly hls: Hls;
  private readonly watchTimer: number;
  private table = new ClockTable([]);
  private pictured = false;
  private stalled = false;
  private stopped = false;
  private ended = false;
  private last = { mediaTime: -1, at: performance.now() };

  constructor(
    address: string,
    muted: boolean,
    private readonly events: TransportEvents,
    private readonly options: HlsOptions = kParts,
  ) {
    this.video = createVideo(muted);
    this.hls = new Hls({
      ...(options.behind_s > 0 ? { liveSyncDuration: options.behind_s, liveMaxLatencyDuration: 60 } : {}),
      lowLatencyMode: true,
      maxLiveSyncPlaybackRate: 1.1,
      // A camera that was away for a while is no reason to stay further behind.
      liveSyncOnStallIncrease: 0.1,
      backBufferLength: 30,
      playlistLoadPolicy: { default: { ...kPatient, maxTimeToFirstByteMs: 12_000, maxLoadTimeMs: 20_000 } },
      fragLoadPolicy: { default: { ...kPatient, maxTimeToFirstByteMs: 10_000, maxLoadTimeMs: 60_000 } },
    });
    // Not fatal: hls.js goes on by itself, and reports "aborted" at every seek.
    this.hls.on(Hls.Events.ERROR, (_event, data) => {
      if (data.fatal) this.fail(data.response?.code === 401 ? 'signed_out' : 'lost', data.error.message);
    });
    this.hls.on(Hls.Events.LEVEL_UPDATED, (_event, data) => {
      this.table = liveTable(data.details);
      if (data.details.live) catchUp(this.hls, this.video, this.options);
      else this.fail('lost', 'the recorder ended it');
    });
    this.video.addEventListener('canplay', () => this.onCanPlay());
    this.hls.loadSource(address);
    this.hls.attachMedia(this.video);
    this.watchTimer = window.setInterval(() => this.watch(), kWatch_ms);
  }

  wallClock(): number | null {
    if (this.table.empty || this.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
    return this.table.toWall(this.video.currentTime);
  }

  delay_ms(): number | null {
    const wall = this.wallClock();
    return wall === null ? null : Math.max(0, Date.now() - wall);
  }

  setLowestDelay(): void {
    // The playlist says how far behind.
  }

  networkChanged(): void {
    // hls.js asks again by itself.
  }

  stop(): void {
    this.stopped = true;
    window.clearInterval(this.watchTimer);
    this.hls.destroy();
  }

  private fail(kind: 'signed_out' | 'lost', message: string): void {
    if (this.stopped || this.ended) return;
    this.ended = true;
    this.events.onEnd(new LiveError(kind, message));
  }

  private onCanPlay(): void {
    if (this.pictured || this.stopped) return;
    this.pictured = true;
    this.last.at = performance.now();
    void this.video.play().catch(() => undefined);
    this.events.onPicture();
  }

  /** hls.js goes on by itself when the camera or the server is back. */
  private watch(): void {
    // What was late may have come between two lists.
    if (this.options.stayBuffered) catchUp(this.hls, this.video, this.options);
    const now = performance.now();
    const still_ms = now - this.last.at;
    if (!this.pictured) {
      if (still_ms > kStart_ms) this.fail('lost', 'no picture came');
    } else if (this.video.currentTime !== this.last.mediaTime) {
      this.last = { mediaTime: this.video.currentTime, at: now };
      this.setStalled(false);
    } else if (still_ms > kReload_ms) {
      this.fail('lost', 'no picture came for a minute');
    } else if (still_ms > kStall_ms) {
      this.setStalled(true);
    }
  }

  private setStalled(stalled: boolean): void {
    if (stalled === this.stalled) return;
    this.stalled = stalled;
    this.events.onStall(stalled);
  }
}

function liveTable(details: LevelDetails): ClockTable {
  const entries: ClockEntry[] = [];
  // The hint is the segment that still grows: its parts are shown already.
  for (const fragment of details.fragmentHint ? [...details.fragments, details.fragmentHint] : details.fragments) {
    if (fragment.programDateTime === null) continue;
    entries.push({ mediaStart: fragment.start, duration: fragment.duration, wallStart: fragment.programDateTime });
  }
  return new ClockTable(entries);
}

function catchUp(hls: Hls, video: HTMLVideoElement, options: HlsOptions): void {
  const target = hls.liveSyncPosition;
  if (target === null || video.paused || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
  const place = options.stayBuffered ? Math.min(target, bufferedEnd(video) - kSpare_s) : target;
  if (place - video.currentTime > options.maxBehind_s) video.currentTime = place;
}

/** Of what is buffered where it plays. */
function bufferedEnd(video: HTMLVideoElement): number {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; ++i) {
    if (buffered.start(i) <= currentTime && currentTime <= buffered.end(i)) return buffered.end(i);
  }
  return currentTime;
}
