import type { LiveError } from './live_error';

/** `bucket`: HLS of what the recorder puts into a bucket while it is asked to. */
export type TransportKind = 'webrtc' | 'hls' | 'bucket';

/** What there is to tell before the first picture. `camera_away`: the recorder answers, and has no picture. */
export type Waiting = 'asking' | 'camera_away' | 'recorder_away';

export interface TransportEvents {
  /** The first picture is in `video`. Once. */
  onPicture(): void;
  /** Of `bucket` alone. */
  onWaiting?(waiting: Waiting): void;
  /** Pictures stopped coming though the connection stands, or come again. */
  onStall(stalled: boolean): void;
  /** It is over: stop() it. Once, and not after stop(). */
  onEnd(error: LiveError): void;
}

/** One way live pictures come. Starts when made. */
export interface Transport {
  readonly kind: TransportKind;
  readonly video: HTMLVideoElement;
  /** Unix milliseconds, by the server's clock, at which the picture on the screen was taken; null: not known. */
  wallClock(): number | null;
  /** Age of that picture; null: not known. */
  delay_ms(): number | null;
  /** Another network: look whether the way still is one. */
  networkChanged(): void;
  setLowestDelay(lowest: boolean): void;
  stop(): void;
}

export type CreateTransport = (kind: TransportKind, events: TransportEvents) => Transport;

/** A video element for live pictures: silent until asked, else no browser would start it. */
export function createVideo(muted: boolean): HTMLVideoElement {
  const video = document.createElement('video');
  video.autoplay = true;
  video.muted = muted;
  video.playsInline = true;
  return video;
}
