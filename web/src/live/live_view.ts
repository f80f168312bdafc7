// Which way live pictures come: WebRTC first, low-latency HLS when that cannot be, WebRTC again when it can. Where only a bucket is
// within reach, that alone.
import type { LiveError } from './live_error';
import type { CreateTransport, Transport, TransportKind, Waiting } from './transport';

export type LiveState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live'; readonly transport: TransportKind }
  /** Through a bucket: what is known of the recorder so far, or why the server cannot ask it. */
  | { readonly kind: 'asking'; readonly waiting: Waiting; readonly problem: string }
  /** The server is there, the camera sends nothing. */
  | { readonly kind: 'away' }
  | { readonly kind: 'reconnecting'; readonly reason: string }
  | { readonly kind: 'paused' }
  | { readonly kind: 'signed_out' };

export interface LiveViewEvents {
  onState(state: LiveState): void;
  /** Its picture is the one to show from now on; null: none, but the last one may stand. Before the old one is stopped. */
  onShow(transport: Transport | null): void;
}

/** Without a picture over WebRTC by then, HLS begins beside it; the first one to have a picture is kept. */
const kWebrtcStart_ms = 3000;
const kRetry_ms = [0, 500, 1000, 2000, 4000] as const;
/** A session that lived so long was a good one: the next failure is the first again. */
const kGood_ms = 5000;
/** While HLS plays: WebRTC is tried again, each time after twice as long. */
const kUpgrade_ms = 10_000;
const kMaxUpgrade_ms = 600_000;
const kBusy_ms = 5000;

export class LiveView {
  private shown: Transport | null = null;
  private webrtc: Transport | null = null;
  private hls: Transport | null = null;
  private running = false;
  private everShown = false;
  private tries = 0;
  private upgrade_ms = kUpgrade_ms;
  private shownSince = 0;
  private startTimer: ReturnType<typeof setTimeout> | undefined;
  private webrtcTimer: ReturnType<typeof setTimeout> | undefined;
  private hlsTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly create: CreateTransport,
    private readonly webrtcPossible: boolean,
    private readonly events: LiveViewEvents,
    /** What is not WebRTC. */
    private readonly other: 'hls' | 'bucket' = 'hls',
  ) {}

  get transport(): Transport | null {
    return this.shown;
  }

  start(): void {
    if (this.running) return;
    this.running = true;
    this.tries = 0;
    this.upgrade_ms = kUpgrade_ms;
    this.events.onState({ kind: 'connecting' });
    if (this.webrtcPossible) this.startWebrtc();
    else this.startHls();
  }

  /** The last picture may stand. */
  stop(state: LiveState = { kind: 'paused' }): void {
    if (!this.running) return;
    this.running = false;
    clearTimeout(this.webrtcTimer);
    clearTimeout(this.hlsTimer);
    this.show(null);
    this.dropWebrtc();
    this.dropHls();
    this.events.onState(state);
  }

  networkChanged(): void {
    if (!this.running) return;
    this.shown?.networkChanged();
    this.tries = 0;
    this.upgrade_ms = kUpgrade_ms;
    if (this.webrtcPossible && !this.webrtc) this.retryWebrtc(0);
  }

  private startWebrtc(): void {
    if (!this.running || this.webrtc) return;
    const transport: Transport = this.create('webrtc', {
      onPicture: () => this.onPicture(transport),
      onStall: (stalled) => this.onStall(transport, stalled),
      onEnd: (error) => this.onWebrtcEnd(transport, error),
    });
    this.webrtc = transport;
    this.startTimer = setTimeout(() => this.onSlowWebrtc(), kWebrtcStart_ms);
  }

  private startHls(): void {
    if (!this.running || this.hls) return;
    clearTimeout(this.hlsTimer);
    const transport: Transport = this.create(this.other, {
      onPicture: () => this.onPicture(transport),
      onWaiting: (waiting) => this.onWaiting(waiting),
      onStall: (stalled) => this.onStall(transport, stalled),
      onEnd: (error) => this.onHlsEnd(transport, error),
    });
    this.hls = transport;
  }

  private dropWebrtc(): void {
    clearTimeout(this.startTimer);
    this.webrtc?.stop();
    this.webrtc = null;
  }

  private dropHls(): void {
    clearTimeout(this.hlsTimer);
    this.hls?.stop();
    this.hls = null;
  }

  private show(transport: Transport | null): void {
    if (transport === this.shown) return;
    this.events.onShow(transport);
    this.shown = transport;
    if (transport) this.everShown = true;
  }

  private onPicture(transport: Transport): void {
    if (transport !== this.webrtc && transport !== this.hls) return;
    this.show(transport);
    this.shownSince = Date.now();
    if (transport.kind === 'webrtc') {
      clearTimeout(this.startTimer);
      clearTimeout(this.webrtcTimer);
      this.upgrade_ms = kUpgrade_ms;
      this.dropHls();
    } else {
      this.tries = 0;
      this.giveUpWebrtc();
    }
    this.events.onState({ kind: 'live', transport: transport.kind });
  }

  private onStall(transport: Transport, stalled: boolean): void {
    if (transport !== this.shown) return;
    this.events.onState(stalled ? { kind: 'away' } : { kind: 'live', transport: transport.kind });
  }

  private onWaiting(waiting: Waiting): void {
    if (!this.shown) this.events.onState({ kind: 'asking', waiting, problem: '' });
  }

  private onSlowWebrtc(): void {
    // HLS shows pictures already: that was one more try.
    if (this.shown && this.shown === this.hls) this.giveUpWebrtc();
    else this.startHls();
  }

  /** HLS has pictures and WebRTC has not. */
  private giveUpWebrtc(): void {
    if (!this.webrtc) return;
    this.dropWebrtc();
    this.upgradeLater();
  }

  private upgradeLater(): void {
    this.retryWebrtc(this.upgrade_ms);
    this.upgrade_ms = Math.min(2 * this.upgrade_ms, kMaxUpgrade_ms);
  }

  private retryWebrtc(wait_ms: number): void {
    clearTimeout(this.webrtcTimer);
    this.webrtcTimer = setTimeout(() => this.startWebrtc(), wait_ms);
  }

  private nextWait(): number {
    return kRetry_ms[Math.min(this.tries++, kRetry_ms.length - 1)]!;
  }

  private onWebrtcEnd(transport: Transport, error: LiveError): void {
    if (transport !== this.webrtc) return;
    const wasShown = transport === this.shown;
    if (wasShown) {
      this.show(null);
      if (Date.now() - this.shownSince > kGood_ms) this.tries = 0;
    }
    this.dropWebrtc();
    if (error.kind === 'signed_out') {
      this.stop({ kind: 'signed_out' });
      return;
    }
    if (!this.shown) this.events.onState(this.waiting(error.message));
    if (error.kind === 'unreachable') {
      // Nor is a playlist to be had.
      this.retryWebrtc(this.nextWait());
    } else if (error.kind === 'busy') {
      this.startHls();
      this.retryWebrtc(error.retryAfter_s === null ? kBusy_ms : error.retryAfter_s * 1000);
    } else if (wasShown) {
      // A server that was started again has forgotten the session: the next one may be there at once.
      this.retryWebrtc(this.nextWait());
    } else {
      this.startHls();
      this.upgradeLater();
    }
  }

  private onHlsEnd(transport: Transport, error: LiveError): void {
    if (transport !== this.hls) return;
    if (transport === this.shown) this.show(null);
    this.dropHls();
    if (error.kind === 'signed_out') {
      this.stop({ kind: 'signed_out' });
      return;
    }
    this.events.onState(
      this.other === 'bucket' && !this.everShown
        ? { kind: 'asking', waiting: 'asking', problem: error.message }
        : this.waiting(error.message),
    );
    this.hlsTimer = setTimeout(() => this.startHls(), Math.max(500, this.nextWait()));
  }

  private waiting(reason: string): LiveState {
    return this.everShown ? { kind: 'reconnecting', reason } : { kind: 'connecting' };
  }
}
