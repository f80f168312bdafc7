import { ApiError, getCameras, getTimeline } from './api';
import type { Camera } from './api';
import { CameraList } from './camera_list';
import { element, show } from './dom';
import { IntervalForm } from './interval_form';
import { bindKeys } from './keyboard';
import { Player } from './player';
import type { Mode, PlayerStatus } from './player';
import type { Waiting } from './live/transport';
import { SignInForm, redeemShareLink, signOut } from './session';
import { text } from './text';
import { formatClock, formatClockMs, formatDate, formatMoment } from './time_format';
import { TimelineBar } from './timeline';
import type { Interval } from './windows';
import 'video.js/dist/video-js.css';
import './style.css';

/** For tests and the browser's console. */
interface TestInterface {
  /** Resolves when the first picture is on the screen. */
  playInterval(from: number, to: number, playing: boolean): Promise<void>;
  seekToWallClock(wallMs: number): Promise<void>;
  wallClock(): number | null;
  readonly mode: Mode;
  readonly video: HTMLVideoElement | null;
}

declare global {
  interface Window {
    miharu: TestInterface;
  }
}

const kPoll_ms = 4000;
const kTimelineRefresh_ms = 10_000;
const kLiveTimeline_ms = 3_600_000;
/** What is shown first of a camera that has no live picture here. */
const kLatest_ms = 10 * 60_000;
/** The step of a frame when the camera does not say how many it sends. */
const kFrame_s = 1 / 25;

class App {
  private readonly view = element('app', HTMLElement);
  private readonly notice = element('notice', HTMLElement);
  private readonly stage = element('stage', HTMLElement);
  private readonly message = element('message', HTMLElement);
  private readonly messageText = element('message-text', HTMLElement);
  private readonly messageDetail = element('message-detail', HTMLElement);
  private readonly messageAction = element('message-action', HTMLButtonElement);
  private readonly clock = element('clock', HTMLElement);
  private readonly clockDate = element('clock-date', HTMLElement);
  private readonly modeLabel = element('mode', HTMLElement);
  private readonly playButton = element('play', HTMLButtonElement);
  private readonly liveButton = element('live', HTMLButtonElement);
  private readonly signIn = new SignInForm(() => this.open());
  private readonly cameraList = new CameraList((name) => this.choose(name));
  private readonly intervalForm = new IntervalForm((interval) => void this.playInterval(interval));
  private readonly timeline = new TimelineBar((wallMs) => this.seek(wallMs));
  readonly player = new Player({
    onStatus: (status) => this.showStatus(status),
    onMode: (mode) => this.showMode(mode),
    onApiError: (error) => this.onApiError(error),
  });
  private cameras: readonly Camera[] = [];
  private chosen: string | null = null;
  private interval: Interval | null = null;
  private status: PlayerStatus = { kind: 'playing' };
  private pollTimer: number | undefined;
  private timelineTask = new AbortController();
  private unreachable = false;

  async start(): Promise<void> {
    this.bindControls();
    let refused = '';
    try {
      await redeemShareLink();
    } catch (error) {
      refused = error instanceof ApiError && error.kind === 'unreachable' ? text.unreachable : text.linkRefused;
    }
    this.open(refused);
    requestAnimationFrame(() => this.tick());
    window.setInterval(() => void this.refreshTimeline(), kTimelineRefresh_ms);
  }

  private bindControls(): void {
    const click = (id: string, action: () => void): void => element(id, HTMLButtonElement).addEventListener('click', action);
    const actions = {
      togglePlay: () => void this.player.togglePlay(),
      skip: (seconds: number) => this.skip(seconds),
      step: (frames: number) => this.player.stepFrames(frames, kFrame_s),
    };
    click('live', () => this.playLive());
    click('back', () => actions.skip(-10));
    click('step-back', () => actions.step(-1));
    click('play', actions.togglePlay);
    click('step', () => actions.step(1));
    click('forward', () => actions.skip(10));
    click('sign-out', () => void signOut().catch(() => undefined).then(() => this.signedOut('')));
    bindKeys({
      togglePlay: () => this.view.hidden || actions.togglePlay(),
      skip: (seconds) => this.view.hidden || actions.skip(seconds),
      step: (frames) => this.view.hidden || actions.step(frames),
    });
  }

  /** `refused` says why a share link did not sign in: shown if no cookie does either. */
  private open(refused = ''): void {
    window.clearTimeout(this.pollTimer);
    void this.poll(refused);
  }

  /** The list of cameras is also how the page notices that it is signed out or that the server is away. */
  private async poll(refused = ''): Promise<void> {
    try {
      this.cameras = await getCameras();
      if (this.unreachable) this.reachable();
      this.signIn.close();
      show(this.view, true);
      const chosen = this.camera() ?? this.cameras[0];
      if (!chosen) this.showMessage(text.noCameras);
      else if (this.chosen !== chosen.name) this.choose(chosen.name);
      this.cameraList.update(this.cameras, this.chosen);
      if (this.status.kind === 'waiting_live') this.showStatus(this.status);
      show(this.notice, false);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.onApiError(error, refused);
      if (error.kind === 'signed_out') return;
    }
    this.pollTimer = window.setTimeout(() => void this.poll(refused), kPoll_ms);
  }

  private camera(): Camera | undefined {
    return this.cameras.find((camera) => camera.name === this.chosen);
  }

  private onApiError(error: ApiError, refused = ''): void {
    if (error.kind === 'signed_out') {
      this.signedOut(refused || (this.chosen === null ? '' : text.sessionEnded));
      return;
    }
    if (error.kind === 'unreachable') this.unreachable = true;
    this.notice.textContent = error.kind === 'unreachable' ? text.unreachable : error.message;
    show(this.notice, true);
  }

  private reachable(): void {
    this.unreachable = false;
    if (this.status.kind === 'failed' || this.status.kind === 'waiting_live') this.player.retry();
    void this.refreshTimeline();
  }

  private signedOut(reason: string): void {
    window.clearTimeout(this.pollTimer);
    this.player.stop();
    this.chosen = null;
    this.cameras = [];
    this.timeline.setTimeline(null);
    show(this.view, false);
    show(this.notice, false);
    this.signIn.open(reason);
  }

  private choose(name: string): void {
    this.chosen = name;
    this.cameraList.update(this.cameras, name);
    if (this.player.mode === 'playback' && this.interval) {
      const at = this.player.position() ?? this.interval.from;
      void this.playInterval(this.interval, at);
    } else if (this.camera()?.state === 'stored' && !(this.player.mode === 'live' && this.canBeLive())) {
      this.playLatest();
    } else {
      this.playLive();
    }
    show(this.liveButton, this.canBeLive());
  }

  private canBeLive(): boolean {
    const camera = this.camera();
    return camera?.state !== 'stored' || camera.live === true;
  }

  /** The last minutes that are recorded, where there is no live picture. */
  private playLatest(): void {
    const until = this.camera()?.recorded_until;
    const to = until ? Date.parse(until) : Date.now();
    const interval = { from: to - kLatest_ms, to };
    this.intervalForm.set(interval);
    void this.playInterval(interval);
  }

  private playLive(): void {
    if (this.chosen === null) return;
    this.interval = null;
    this.stage.scrollIntoView({ block: 'nearest' });
    this.player.playLive(this.chosen, this.camera()?.state === 'stored');
    this.intervalForm.set({ from: Date.now() - 300_000, to: Date.now() });
    void this.refreshTimeline();
  }

  async playInterval(interval: Interval, at = interval.from, playing = true): Promise<void> {
    if (this.chosen === null) return;
    this.interval = interval;
    this.stage.scrollIntoView({ block: 'nearest' });
    void this.refreshTimeline();
    await this.player.playInterval(this.chosen, interval, at, playing);
  }

  seek(wallMs: number): Promise<void> {
    if (this.player.mode === 'playback') return this.player.seekToWallClock(wallMs);
    const range = this.timeline.range;
    if (this.player.mode !== 'live' || this.chosen === null || !range) return Promise.resolve();
    this.interval = { from: Math.min(range.from, wallMs), to: Date.now() };
    this.intervalForm.set(this.interval);
    return this.player.playInterval(this.chosen, this.interval, wallMs);
  }

  private skip(seconds: number): void {
    const position = this.player.position();
    if (position === null || (this.player.mode === 'live' && seconds > 0)) return;
    void this.seek(position + seconds * 1000);
  }

  private async refreshTimeline(): Promise<void> {
    if (this.chosen === null) return;
    this.timelineTask.abort();
    this.timelineTask = new AbortController();
    const { signal } = this.timelineTask;
    const now = Date.now();
    // A live picture stays on the bar until the next refresh.
    const { from, to } = this.interval ?? { from: now - kLiveTimeline_ms, to: now + kTimelineRefresh_ms };
    try {
      const timeline = await getTimeline(this.chosen, from, to, signal);
      if (!signal.aborted) this.timeline.setTimeline({ ...timeline, from, to });
    } catch (error) {
      if (error instanceof ApiError && !signal.aborted) this.onApiError(error);
    }
  }

  private showMode(mode: Mode): void {
    this.modeLabel.dataset['mode'] = mode;
    this.modeLabel.textContent = { none: text.stopped, live: text.live, playback: text.recorded }[mode];
    this.liveButton.setAttribute('aria-pressed', String(mode === 'live'));
  }

  private showStatus(status: PlayerStatus): void {
    this.status = status;
    this.messageAction.onclick = null;
    switch (status.kind) {
      case 'playing':
        show(this.message, false);
        return;
      case 'loading':
        this.showMessage(text.loading);
        return;
      case 'waiting_live':
        this.showWaiting(status);
        return;
      case 'ended':
        this.showEnded();
        return;
      case 'failed':
        this.showMessage(text.playbackFailed, status.message, [text.tryAgain, () => this.player.retry()]);
        return;
      case 'no_recording':
        this.showNoRecording(status.next);
    }
  }

  private showEnded(): void {
    if (!this.canBeLive()) this.showMessage(text.endOfInterval);
    else this.showMessage(text.endOfInterval, '', [text.live, () => this.playLive()]);
  }

  private showWaiting(status: PlayerStatus & { kind: 'waiting_live' }): void {
    const camera = this.camera();
    if (status.recorder !== undefined) this.showRecorder(status.recorder, status.problem ?? '');
    else if (!camera || camera.state === 'recording') this.showMessage(text.connectingLive);
    else if (camera.state === 'stored') this.showMessage(text.recorderSilent, text.retrying);
    else if (camera.state === 'off') this.showMessage(text.off, camera.last_error ?? '');
    else this.showMessage(text.offline, [camera.last_error ?? '', text.retrying].join('\n').trim());
  }

  private showRecorder(recorder: Waiting, problem: string): void {
    const until = this.camera()?.recorded_until;
    if (recorder === 'asking') this.showMessage(text.askingRecorder, problem || text.askingDetail);
    else if (recorder === 'camera_away') this.showMessage(text.recorderHasNone, text.retrying);
    else this.showMessage(text.recorderAway, text.recorderAwayDetail(until ? formatMoment(Date.parse(until), Date.now()) : null));
  }

  private showNoRecording(next: number | null): void {
    if (next === null) {
      this.showMessage(text.noRecording, text.noLaterRecording);
      return;
    }
    const time = formatMoment(next, Date.now());
    const go = (): void => {
      const interval = { from: next, to: Math.min(Date.now(), next + 3_600_000) };
      this.intervalForm.set(interval);
      void this.playInterval(interval);
    };
    this.showMessage(text.noRecording, text.nextRecording(time), [text.goTo(time), go]);
  }

  private showMessage(main: string, detail = '', action?: [string, () => void]): void {
    this.messageText.textContent = main;
    this.messageDetail.textContent = detail;
    this.messageAction.textContent = action?.[0] ?? '';
    this.messageAction.onclick = action?.[1] ?? null;
    show(this.messageAction, action !== undefined);
    show(this.message, true);
    this.message.dataset['kind'] = this.status.kind;
  }

  /** Each drawn frame of the page: the time of the picture. */
  private tick(): void {
    const wallMs = this.player.position();
    const { paused } = this.player;
    this.setText(this.clock, wallMs === null ? text.noPicture : paused ? formatClockMs(wallMs) : formatClock(wallMs));
    this.setText(this.clockDate, wallMs === null ? '' : formatDate(wallMs));
    const label = paused ? text.play : text.pause;
    if (this.playButton.getAttribute('aria-label') !== label) {
      this.playButton.setAttribute('aria-label', label);
      this.playButton.title = label;
      this.playButton.dataset['paused'] = String(paused);
    }
    this.timeline.setPlayhead(wallMs === null ? null : Math.round(wallMs / 100) * 100);
    requestAnimationFrame(() => this.tick());
  }

  private setText(target: HTMLElement, value: string): void {
    if (target.textContent !== value) target.textContent = value;
  }
}

const app = new App();
window.miharu = {
  playInterval: (from, to, playing) => app.playInterval({ from, to }, from, playing),
  seekToWallClock: (wallMs) => app.seek(wallMs),
  wallClock: () => app.player.wallClock(),
  get mode() {
    return app.player.mode;
  },
  get video() {
    return app.player.video;
  },
};
void app.start();
