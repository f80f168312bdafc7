import { withPayloadHash } from '../payload_hash';
import { HlsTransport, kSegments } from './hls_transport';
import type { LiveError } from './live_error';
import { LiveWish } from './live_wish';
import { createVideo } from './transport';
import type { Transport, TransportEvents } from './transport';

/** Pictures that the recorder puts into a bucket for as long as this lasts. `base`: the server of the bucket. */
export class BucketTransport implements Transport {
  readonly kind = 'bucket';
  private readonly wish: LiveWish;
  private hls: HlsTransport | null = null;
  private readonly nothing: HTMLVideoElement;
  private ended = false;

  constructor(
    camera: string,
    base: string,
    private readonly muted: boolean,
    private readonly events: TransportEvents,
  ) {
    this.nothing = createVideo(muted);
    const wish = new URL(`api/v1/cameras/${encodeURIComponent(camera)}/live`, base).href;
    this.wish = new LiveWish(async (address, init) => fetch(address, await withPayloadHash(init)), wish, base, {
      onWaiting: (waiting) => events.onWaiting?.(waiting),
      onPlaylist: (address) => this.play(address),
      onEnd: (error) => this.end(error),
    });
  }

  get video(): HTMLVideoElement {
    return this.hls?.video ?? this.nothing;
  }

  wallClock(): number | null {
    return this.hls?.wallClock() ?? null;
  }

  delay_ms(): number | null {
    return this.hls?.delay_ms() ?? null;
  }

  setLowestDelay(): void {
    // Pieces of a second, over a bucket: there is nothing to gain.
  }

  networkChanged(): void {
    // Both ask again by themselves.
  }

  stop(): void {
    this.wish.stop();
    this.hls?.stop();
  }

  private play(address: string): void {
    this.hls = new HlsTransport(
      address,
      this.muted,
      {
        onPicture: () => this.events.onPicture(),
        onStall: (stalled) => this.events.onStall(stalled),
        onEnd: (error) => this.end(error),
      },
      kSegments,
    );
  }

  private end(error: LiveError): void {
    if (this.ended) return;
    this.ended = true;
    this.stop();
    this.events.onEnd(error);
  }
}
