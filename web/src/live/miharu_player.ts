// <miharu-player camera="front">: the live picture of one camera, by whatever way it can be had. Attributes: `camera`; `base`, the
// address of miharu (that of the page when left out); `lowest-delay`, for the least delay at the price of smoothness; `bucket`, where
// that is `miharu serve` over a bucket, which asks the recorder for pictures.
// The event `statechange` tells of `state`. Silent until its sound button is pressed, for browsers would not start it otherwise.
import { text } from '../text';
import { BucketTransport } from './bucket_transport';
import { HlsTransport } from './hls_transport';
import { LiveView } from './live_view';
import type { LiveState } from './live_view';
import type { Transport, TransportEvents, TransportKind } from './transport';
import { webrtcIsPossible, WebrtcTransport } from './webrtc_transport';
import style from './miharu_player.css?inline';

const kLabel_ms = 500;
/** The first pictures are those since the last key frame, shown fast: a still covers them until the picture is of now. */
const kCover_ms = 600;
const kCovered_ms = 250;
const kPaused_ms = 300;
const kLowestDelayKey = 'miharu.lowestDelay';

const kMarkup = `
  <canvas class="still" hidden></canvas>
  <div class="bar">
    <span class="state" role="status"></span>
    <button class="lowest" type="button" hidden>
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M13 3 5 14h6l-1 7 8-11h-6z"/></svg>
    </button>
    <button class="sound" type="button">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 9v6h4l5 4V5L8 9z"/><path class="on" d="M16 9a4 4 0 0 1 0 6M18.5 6.5a8 8 0 0 1 0 11"/><path class="off" d="m16.5 9.5 5 5m0-5-5 5"/></svg>
    </button>
    <button class="picture" type="button" hidden>
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M3 5h18v14H3z"/><path d="M13 12h5v4h-5z"/></svg>
    </button>
    <button class="full" type="button">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/></svg>
    </button>
  </div>`;

export class MiharuPlayer extends HTMLElement {
  static readonly observedAttributes = ['camera', 'base', 'bucket', 'lowest-delay'];
  private readonly root = this.attachShadow({ mode: 'open' });
  private readonly still: HTMLCanvasElement;
  private readonly stateLabel: HTMLElement;
  private readonly soundButton: HTMLButtonElement;
  private readonly lowestButton: HTMLButtonElement;
  private readonly pictureButton: HTMLButtonElement;
  private view: LiveView | null = null;
  private current: LiveState = { kind: 'paused' };
  private shown: Transport | null = null;
  private isMuted = true;
  private wanted = true;
  private lastWall: number | null = null;
  private labelTimer: number | undefined;
  private coverTimer: number | undefined;

  constructor() {
    super();
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(style);
    this.root.adoptedStyleSheets = [sheet];
    this.root.innerHTML = kMarkup;
    this.still = this.find('.still');
    this.stateLabel = this.find('.state');
    this.soundButton = this.find('.sound');
    this.lowestButton = this.find('.lowest');
    this.pictureButton = this.find('.picture');
    this.soundButton.addEventListener('click', () => (this.muted = !this.muted));
    label(this.lowestButton, text.lowestDelay);
    this.lowestButton.addEventListener('click', () => this.toggleLowestDelay());
    this.pictureButton.addEventListener('click', () => void this.togglePictureInPicture());
    label(this.pictureButton, text.pictureInPicture);
    const full = this.find<HTMLButtonElement>('.full');
    label(full, text.fullScreen);
    full.hidden = !document.fullscreenEnabled;
    full.addEventListener('click', () => void this.toggleFullScreen());
    this.showSound();
    this.applyLowestDelay();
  }

  get state(): LiveState {
    return this.current;
  }

  /** Null while there is no picture; another one after each new connection. */
  get video(): HTMLVideoElement | null {
    return this.shown?.video ?? null;
  }

  get paused(): boolean {
    return !this.wanted;
  }

  get muted(): boolean {
    return this.isMuted;
  }

  set muted(muted: boolean) {
    this.isMuted = muted;
    if (this.video) {
      this.video.muted = muted;
      void this.video.play().catch(() => this.refusedSound());
    }
    this.showSound();
  }

  get lowestDelay(): boolean {
    return this.hasAttribute('lowest-delay') || remembered();
  }

  /** Unix milliseconds at which the picture on the screen was taken, by the server's clock; null: not known. */
  wallClock(): number | null {
    const wall = this.shown?.wallClock() ?? null;
    if (wall !== null) this.lastWall = wall;
    return this.lastWall;
  }

  /** The age of the picture on the screen. */
  delay_ms(): number | null {
    return this.shown?.delay_ms() ?? null;
  }

  play(): void {
    this.wanted = true;
    this.update();
  }

  /** Ends the connection; the picture stands. */
  pause(): void {
    this.wanted = false;
    this.update();
  }

  /** The server is back: no need to wait for the next try. */
  retry(): void {
    this.view?.networkChanged();
  }

  connectedCallback(): void {
    document.addEventListener('visibilitychange', this.update);
    window.addEventListener('pagehide', this.onPageHide);
    window.addEventListener('pageshow', this.update);
    window.addEventListener('online', this.onNetwork);
    networkInformation()?.addEventListener('change', this.onNetwork);
    this.labelTimer = window.setInterval(() => this.showState(), kLabel_ms);
    this.open();
  }

  disconnectedCallback(): void {
    document.removeEventListener('visibilitychange', this.update);
    window.removeEventListener('pagehide', this.onPageHide);
    window.removeEventListener('pageshow', this.update);
    window.removeEventListener('online', this.onNetwork);
    networkInformation()?.removeEventListener('change', this.onNetwork);
    window.clearInterval(this.labelTimer);
    this.close();
  }

  attributeChangedCallback(name: string, before: string | null, after: string | null): void {
    if (before === after) return;
    if (name === 'lowest-delay') {
      this.applyLowestDelay();
    } else if (this.isConnected) {
      this.open();
    }
  }

  /** Of another camera: nothing of the last one may be seen. */
  private open(): void {
    this.close();
    const camera = this.getAttribute('camera');
    if (!camera) return;
    const base = new URL(this.getAttribute('base') ?? './', document.baseURI);
    const name = encodeURIComponent(camera);
    const create = (kind: TransportKind, events: TransportEvents): Transport => {
      switch (kind) {
        case 'webrtc':
          return new WebrtcTransport(new URL(`whep/${name}`, base).href, this.isMuted, this.lowestDelay, events);
        case 'hls':
          return new HlsTransport(new URL(`hls/${name}/live.m3u8`, base).href, this.isMuted, events);
        case 'bucket':
          return new BucketTransport(camera, base.href, this.isMuted, events);
      }
    };
    const throughBucket = this.hasAttribute('bucket');
    const events = {
      onState: (state: LiveState) => this.setState(state),
      onShow: (transport: Transport | null) => this.show(transport),
    };
    this.view = new LiveView(create, webrtcIsPossible() && !throughBucket, events, throughBucket ? 'bucket' : 'hls');
    this.update();
  }

  private close(): void {
    this.view?.stop();
    this.view = null;
    this.lastWall = null;
    this.still.hidden = true;
  }

  /** Plays when it is wanted and can be seen. */
  private readonly update = (): void => {
    const seen = document.visibilityState === 'visible' || this.inPictureInPicture;
    if (this.wanted && seen) this.view?.start();
    else this.view?.stop();
  };

  /** The page may come back from the browser's cache, without a connection. */
  private readonly onPageHide = (): void => this.view?.stop();

  private readonly onNetwork = (): void => this.view?.networkChanged();

  private setState(state: LiveState): void {
    this.current = state;
    this.showState();
    this.dispatchEvent(new Event('statechange'));
  }

  private show(transport: Transport | null): void {
    const { video } = this;
    if (video) {
      this.wallClock();
      this.keepStill(video);
      video.remove();
    }
    this.shown = transport;
    if (!transport) return;
    transport.video.muted = this.isMuted;
    this.still.after(transport.video);
    void transport.video.play().catch(() => this.refusedSound());
    transport.video.addEventListener('leavepictureinpicture', this.update);
    transport.video.addEventListener('pause', () => this.onPausedByBrowser(transport));
    this.cover(transport);
  }

  /** A media key, or a phone that was called. Sound that was refused goes on without sound in a moment. */
  private onPausedByBrowser(transport: Transport): void {
    window.setTimeout(() => {
      if (this.shown === transport && transport.video.paused) this.pause();
    }, kPaused_ms);
  }

  private keepStill(video: HTMLVideoElement): void {
    if (video.videoWidth === 0 || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
    this.still.width = video.videoWidth;
    this.still.height = video.videoHeight;
    this.still.getContext('2d')?.drawImage(video, 0, 0);
    this.still.hidden = false;
  }

  private cover(transport: Transport): void {
    window.clearInterval(this.coverTimer);
    if (transport.kind !== 'webrtc') {
      this.still.hidden = true;
      return;
    }
    if (this.still.hidden) this.keepStill(transport.video);
    this.still.classList.add('cover');
    const end = performance.now() + kCover_ms;
    this.coverTimer = window.setInterval(() => {
      const delay = transport.delay_ms();
      if (performance.now() < end && (delay === null || delay > kCovered_ms)) return;
      window.clearInterval(this.coverTimer);
      this.still.classList.remove('cover');
      if (this.shown === transport) this.still.hidden = true;
    }, 20);
  }

  /** A sound that the browser refuses must not cost the picture. */
  private refusedSound(): void {
    const { video } = this;
    if (!video || video.muted || !video.paused) return;
    this.isMuted = true;
    video.muted = true;
    this.showSound();
    void video.play().catch(() => undefined);
  }

  private showSound(): void {
    this.soundButton.setAttribute('aria-pressed', String(!this.isMuted));
    label(this.soundButton, this.isMuted ? text.soundOn : text.soundOff);
  }

  private toggleLowestDelay(): void {
    const lowest = !this.lowestDelay;
    remember(lowest);
    this.toggleAttribute('lowest-delay', lowest);
    this.applyLowestDelay();
  }

  private applyLowestDelay(): void {
    this.shown?.setLowestDelay(this.lowestDelay);
    this.lowestButton.setAttribute('aria-pressed', String(this.lowestDelay));
  }

  private showState(): void {
    this.wallClock();
    const silent = this.current.kind === 'away' && this.hasAttribute('bucket');
    const said = silent ? text.noNewPictures : text.liveState(this.current, this.delay_ms());
    if (this.stateLabel.textContent !== said) this.stateLabel.textContent = said;
    this.stateLabel.dataset['kind'] = this.current.kind;
    this.root.querySelector('.bar')?.classList.toggle('live', this.current.kind === 'live');
    this.lowestButton.hidden = this.shown?.kind !== 'webrtc';
    this.pictureButton.hidden = !document.pictureInPictureEnabled || !this.shown;
  }

  private get inPictureInPicture(): boolean {
    return this.video !== null && this.root.pictureInPictureElement === this.video;
  }

  private async togglePictureInPicture(): Promise<void> {
    if (this.inPictureInPicture) await document.exitPictureInPicture().catch(() => undefined);
    else await this.video?.requestPictureInPicture().catch(() => undefined);
  }

  private async toggleFullScreen(): Promise<void> {
    if (document.fullscreenElement) await document.exitFullscreen().catch(() => undefined);
    else await this.requestFullscreen().catch(() => undefined);
  }

  private find<T extends Element>(selector: string): T {
    return this.root.querySelector<T>(selector)!;
  }
}

function label(button: HTMLButtonElement, said: string): void {
  button.setAttribute('aria-label', said);
  button.title = said;
}

/** In Chromium on some systems; not in TypeScript's library. */
function networkInformation(): EventTarget | undefined {
  return (navigator as { connection?: EventTarget }).connection;
}

// A browser may refuse to keep anything.
function remembered(): boolean {
  try {
    return localStorage.getItem(kLowestDelayKey) === '1';
  } catch {
    return false;
  }
}

function remember(lowest: boolean): void {
  try {
    localStorage.setItem(kLowestDelayKey, lowest ? '1' : '0');
  } catch {
    // Then the attribute remembers it, as long as the page.
  }
}

customElements.define('miharu-player', MiharuPlayer);

declare global {
  interface HTMLElementTagNameMap {
    'miharu-player': MiharuPlayer;
  }
}
