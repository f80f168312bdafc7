// Plays one camera: live, or the recordings of an interval by wall-clock time.
import { ApiError, getPlaylist, getTimeline, vodAddress } from './api';
import { ClockTable, parsePlaylist } from './clock_table';
import { element } from './dom';
import type { Engine, EngineEvents } from './engine';
import { nextEvent, startPlaying } from './engine';
import { VideojsEngine } from './engine_videojs';
import { MiharuPlayer } from './live/miharu_player';
import type { Waiting } from './live/transport';
import { contains, windowFor } from './windows';
import type { Interval } from './windows';

export type Mode = 'none' | 'live' | 'playback';

export type PlayerStatus =
  | { readonly kind: 'playing' }
  | { readonly kind: 'loading' }
  /** `recorder`: through a bucket, what is known of who would send pictures; `problem`: why it cannot be asked. */
  | { readonly kind: 'waiting_live'; readonly recorder?: Waiting; readonly problem?: string }
  | { readonly kind: 'no_recording'; readonly next: number | null }
  | { readonly kind: 'ended' }
  | { readonly kind: 'failed'; readonly message: string };

export interface PlayerEvents {
  onStatus(status: PlayerStatus): void;
  onMode(mode: Mode): void;
  /** For what the player cannot solve itself: signed out, server away. */
  onApiError(error: ApiError): void;
}

const kWatch_ms = 250;
/** How much of the picture before `to` still counts as the end: less than a frame at 60 frames a second. */
const kEndTolerance_ms = 10;

export class Player {
  mode: Mode = 'none';
  private camera = '';
  private interval: Interval = { from: 0, to: 0 };
  private window: Interval = { from: 0, to: 0 };
  private table = new ClockTable([]);
  private engine: Engine | null = null;
  private kind: PlayerStatus['kind'] = 'playing';
  private wanted: number | null = null;
  private task = new AbortController();
  /** In the page only while the mode is live. */
  private readonly live = new MiharuPlayer();

  constructor(private readonly events: PlayerEvents) {
    this.live.addEventListener('statechange', () => this.showLive());
    window.setInterval(() => this.watch(), kWatch_ms);
  }

  get video(): HTMLVideoElement | null {
    return this.mode === 'live' ? this.live.video : (this.engine?.video ?? null);
  }

  get paused(): boolean {
    return this.mode === 'live' ? this.live.paused : (this.engine?.video.paused ?? true);
  }

  /** Unix milliseconds of the picture on the screen. */
  wallClock(): number | null {
    if (this.mode === 'live') return this.live.wallClock();
    if (!this.engine || this.table.empty || this.engine.video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return null;
    return this.table.toWall(this.engine.video.currentTime);
  }

  /** Where the playhead belongs: the time asked for while its picture is still coming. */
  position(): number | null {
    return this.wanted ?? this.wallClock();
  }

  stop(): void {
    this.begin('none');
    this.disposeEngine();
  }

  /** `throughBucket`: the server has the recording only, and asks the recorder. */
  playLive(camera: string, throughBucket = false): void {
    this.camera = camera;
    this.begin('live');
    this.disposeEngine();
    this.live.toggleAttribute('bucket', throughBucket);
    this.live.setAttribute('camera', camera);
    if (!this.live.isConnected) element('stage-video', HTMLElement).replaceChildren(this.live);
    this.live.play();
    this.showLive();
  }

  /** `at` is the first picture to show; without it the start of the interval. */
  async playInterval(camera: string, interval: Interval, at = interval.from, playing = true): Promise<void> {
    this.camera = camera;
    this.interval = interval;
    const signal = this.begin('playback');
    this.setEngine((events) => new VideojsEngine(events));
    await this.loadWindow(windowFor(interval, at), at, playing, signal);
  }

  /** Resolves when the picture is on the screen. In a gap that is the first picture after it. */
  async seekToWallClock(wallMs: number): Promise<void> {
    if (this.mode !== 'playback' || !this.engine) return;
    const target = Math.min(Math.max(wallMs, this.interval.from), this.interval.to);
    const playing = this.kind === 'playing' ? !this.engine.video.paused : this.kind === 'loading';
    const signal = this.begin('playback');
    const place = contains(this.window, target) ? this.table.toMedia(target) : null;
    if (!place || this.kind === 'failed') {
      await this.loadWindow(windowFor(this.interval, target), target, playing, signal);
      return;
    }
    this.wanted = target;
    try {
      this.setStatus({ kind: 'playing' });
      await this.engine.seek(place.mediaTime, signal);
      this.wanted = null;
    } catch (error) {
      this.fail(error, signal);
    }
  }

  async togglePlay(): Promise<void> {
    if (this.mode === 'live') {
      if (this.live.paused) this.live.play();
      else this.live.pause();
      return;
    }
    if (!this.engine) return;
    if (!this.engine.video.paused) this.engine.video.pause();
    else if (this.kind === 'ended') await this.playInterval(this.camera, this.interval);
    else await startPlaying(this.engine.video);
  }

  /** A live picture only stops: the one before it is in the recording. */
  stepFrames(count: number, frame_s: number): void {
    if (this.mode === 'live') this.live.pause();
    if (!this.engine) return;
    const { video } = this.engine;
    video.pause();
    video.currentTime = Math.max(0, video.currentTime + count * frame_s);
  }

  /** Tries again what failed, from where it stood. */
  retry(): void {
    if (this.mode === 'live') this.live.retry();
    if (this.mode === 'playback') void this.playInterval(this.camera, this.interval, this.position() ?? this.interval.from);
  }

  private begin(mode: Mode): AbortSignal {
    this.task.abort();
    this.task = new AbortController();
    this.wanted = null;
    this.mode = mode;
    if (mode !== 'live') this.live.remove();
    this.events.onMode(mode);
    return this.task.signal;
  }

  private disposeEngine(): void {
    this.engine?.dispose();
    this.engine = null;
    this.table = new ClockTable([]);
  }

  private setEngine(create: (events: EngineEvents) => Engine): void {
    this.disposeEngine();
    const engine: Engine = create({
      onFailure: (message) => {
        if (this.engine === engine) this.onEngineFailure(message);
      },
    });
    this.engine = engine;
  }

  private setStatus(status: PlayerStatus): void {
    this.kind = status.kind;
    this.events.onStatus(status);
  }

  private async loadWindow(wanted: Interval, at: number, playing: boolean, signal: AbortSignal): Promise<void> {
    this.wanted = at;
    this.setStatus({ kind: 'loading' });
    try {
      const { address, window, table } = await this.fetchWindow(wanted, signal);
      const place = table.toMedia(at);
      if (!place) {
        await this.skipToRecording(at, playing, signal);
        return;
      }
      this.window = window;
      this.table = table;
      await this.engine?.load(address, place.mediaTime, playing, signal);
      signal.throwIfAborted();
      this.wanted = null;
      this.setStatus({ kind: 'playing' });
    } catch (error) {
      this.fail(error, signal);
    }
  }

  /** An interval that is over by this machine's clock may not be over by the server's: its list must have an end. */
  private async fetchWindow(
    window: Interval,
    signal: AbortSignal,
  ): Promise<{ address: string; window: Interval; table: ClockTable }> {
    const address = vodAddress(this.camera, window.from, window.to);
    const { table, ended } = parsePlaylist(await getPlaylist(address, signal));
    const end = table.wallEnd;
    if (ended || end === null) return { address, window, table };
    return { address: vodAddress(this.camera, window.from, end), window: { from: window.from, to: end }, table };
  }

  /** Nothing in the window from `at` on: say so at the start of the interval, go on to the next recording within it. */
  private async skipToRecording(at: number, playing: boolean, signal: AbortSignal): Promise<void> {
    const { spans } = await getTimeline(this.camera, at, Math.max(this.interval.to, Date.now()), signal);
    const next = spans.find((span) => span.end > at);
    const start = next ? Math.max(next.start, at) : null;
    if (start !== null && start > at && start < this.interval.to) {
      await this.loadWindow(windowFor(this.interval, start), start, playing, signal);
      return;
    }
    this.engine?.video.pause();
    this.setStatus({ kind: 'no_recording', next: start !== null && start >= this.interval.to ? start : null });
  }

  private showLive(): void {
    if (this.mode !== 'live') return;
    const { state } = this.live;
    if (state.kind === 'signed_out') this.events.onApiError(new ApiError('signed_out', '', 401));
    else if (state.kind === 'live' || state.kind === 'paused') this.setStatus({ kind: 'playing' });
    else if (state.kind === 'asking') this.setStatus({ kind: 'waiting_live', recorder: state.waiting, problem: state.problem });
    else this.setStatus({ kind: 'waiting_live' });
  }

  private onEngineFailure(message: string): void {
    if (this.mode !== 'playback') return;
    this.wanted ??= this.wallClock();
    this.task.abort();
    this.setStatus({ kind: 'failed', message });
  }

  private fail(error: unknown, signal: AbortSignal): void {
    if (signal.aborted) return;
    if (error instanceof ApiError && error.kind !== 'refused') this.events.onApiError(error);
    this.setStatus({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
  }

  private watch(): void {
    if (this.engine && this.mode === 'playback' && this.kind === 'playing') this.watchEnd(this.engine.video);
  }

  /** The last chunk of a list goes beyond its `to`: the page stops there, or goes on with the next window. */
  private watchEnd(video: HTMLVideoElement): void {
    const wallMs = this.wallClock();
    if (wallMs === null || this.wanted !== null || video.seeking) return;
    const end = Math.min(this.window.to, this.table.wallEnd ?? Infinity);
    if (!video.ended && wallMs < end - kEndTolerance_ms) {
      this.armEnd(video, end);
      return;
    }
    if (video.paused && !video.ended) return;
    if (this.window.to < this.interval.to) {
      const next = this.window.to;
      const signal = this.begin('playback');
      void this.loadWindow(windowFor(this.interval, next), next, true, signal);
    } else {
      this.finish(video);
    }
  }

  /** Near the end, look at every picture: the timer alone would be up to a quarter of a second late. */
  private armEnd(video: HTMLVideoElement, end: number): void {
    const wallMs = this.wallClock();
    if (video.paused || wallMs === null || end - wallMs > 2 * kWatch_ms * video.playbackRate) return;
    if (!('requestVideoFrameCallback' in video)) return;
    video.requestVideoFrameCallback(() => {
      if (this.engine?.video === video) this.watch();
    });
  }

  private finish(video: HTMLVideoElement): void {
    video.pause();
    this.setStatus({ kind: 'ended' });
    void nextEvent(video, 'play', this.task.signal).then(
      () => this.setStatus({ kind: 'playing' }),
      () => undefined,
    );
  }
}
