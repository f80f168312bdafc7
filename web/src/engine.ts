// What the page needs of a player library for recordings. Live pictures have an element of their own: live/miharu_player.ts.
import videojs from 'video.js';
import { element } from './dom';

export interface EngineEvents {
  /** The engine gave up; the page decides what follows. Never called for errors the engine recovers from. */
  onFailure(message: string): void;
}

export interface Engine {
  /** Lives as long as the engine. */
  readonly video: HTMLVideoElement;
  /**
   * Loads a media playlist in place of the current one and shows the picture at `mediaTime` (seconds). Resolves when that
   * picture can be shown, still paused or already playing as asked.
   */
  load(address: string, mediaTime: number, playing: boolean, signal: AbortSignal): Promise<void>;
  dispose(): void;
}

export type Shell = ReturnType<typeof videojs>;

/** The Video.js player around a new video element. Its own progress bar is off: the page's timeline shows wall-clock time. */
export function createShell(): { shell: Shell; video: HTMLVideoElement } {
  const holder = document.createElement('video-js');
  element('stage-video', HTMLElement).replaceChildren(holder);
  const shell = videojs(holder, {
    controls: true,
    fill: true,
    preload: 'auto',
    playsinline: true,
    bigPlayButton: false,
    errorDisplay: false,
    textTrackSettings: false,
    experimentalSvgIcons: true,
    playbackRates: [0.25, 0.5, 1, 2, 4, 8],
    userActions: { hotkeys: false },
    html5: {
      vhs: { overrideNative: true },
      nativeAudioTracks: false,
      nativeVideoTracks: false,
    },
    controlBar: {
      children: ['playToggle', 'volumePanel', 'customControlSpacer', 'playbackRateMenuButton', 'pictureInPictureToggle', 'fullscreenToggle'],
    },
  });
  return { shell, video: shell.tech(true).el() as HTMLVideoElement };
}

/** Browsers refuse sound before the first click: then without sound. */
export async function startPlaying(video: HTMLVideoElement): Promise<void> {
  try {
    await video.play();
  } catch (error) {
    if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
    video.muted = true;
    await video.play().catch(() => undefined);
  }
}

/** Resolves at the next `type` event; rejects when `signal` aborts. */
export function nextEvent(target: EventTarget, type: string, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const onAbort = (): void => {
      target.removeEventListener(type, onEvent);
      reject(signal.reason);
    };
    const onEvent = (): void => {
      signal.removeEventListener('abort', onAbort);
      resolve();
    };
    target.addEventListener(type, onEvent, { once: true });
    signal.addEventListener('abort', onAbort, { once: true });
  });
}

/** Longer than the picture needs after `seeked`; a hidden page draws none, and cameras may send few pictures a second. */
const kFrameWait_ms = 400;
/** A picture that began at most this long before the place sought is the one sought. */
const kFrame_s = 0.045;
/** The slowest cameras send a picture a second. */
const kSlowFrame_s = 1.1;
const kRounding_s = 0.001;
/** A place that is loaded is decoded in less; then the decoder waits for something else. */
const kStuck_ms = 1500;
const kSeekWatch_ms = 20;
const kAttempts = 3;
/** VHS loads nothing for a place that is less before what is loaded. */
const kTolerance_s = 0.1;

/**
 * Seeks and resolves when the picture is on the screen. A seek that meets the end of an append goes wrong. VHS empties the buffer
 * while the decoder reads from it: Chromium goes on with the next key frame (a picture that is too late under the right time), or
 * without one stays with the old picture or never ends. Or VHS takes what it has not loaded yet for a hole and jumps behind it.
 * All are over when the place is sought again.
 */
export async function seekElement(video: HTMLVideoElement, mediaTime: number, signal: AbortSignal): Promise<void> {
  const before = video.currentTime;
  for (let attempt = 1; attempt <= kAttempts; ++attempt) {
    if (!isBuffered(video, mediaTime) && isBuffered(video, mediaTime + kTolerance_s)) {
      await seeked(video, Math.max(0, mediaTime - 2 * kTolerance_s), signal);
    }
    if (await seekOnce(video, before, mediaTime, signal)) return;
  }
}

/** Whether the picture of that place is shown, as far as the browser tells; `before` is where the picture was that is replaced. */
async function seekOnce(video: HTMLVideoElement, before: number, mediaTime: number, signal: AbortSignal): Promise<boolean> {
  let waiting = true;
  let last: number | null = null;
  const drawn = new Promise<boolean>((resolve) => {
    // The first picture drawn from now on may still be an older one.
    const onDrawn = (_now: number, shown: VideoFrameCallbackMetadata): void => {
      if (!waiting) return;
      last = shown.mediaTime;
      const late = mediaTime - last;
      if (late > -kRounding_s && late < kFrame_s) resolve(true);
      else video.requestVideoFrameCallback(onDrawn);
    };
    if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(onDrawn);
    else resolve(true);
  });
  try {
    if (!(await seeked(video, mediaTime, signal))) return false;
    // VHS jumped: over a hole, where the next attempt ends the same, or over what was not loaded yet.
    if (video.currentTime > mediaTime + kFrame_s && !isBuffered(video, mediaTime)) return false;
    const waited = new Promise<boolean>((resolve) => window.setTimeout(resolve, kFrameWait_ms, false));
    const exact = await Promise.race([drawn, waited]);
    signal.throwIfAborted();
    // A page that is not seen is told of no picture.
    if (exact || !video.paused || document.hidden) return true;
    return last !== null && last < mediaTime + kRounding_s && (last > before || last < before - kSlowFrame_s);
  } finally {
    waiting = false;
  }
}

/**
 * False when the decoder stands still before a place that is loaded. VHS empties its buffer for a place that is not, looks half a
 * second later whether that is done, and only then loads: sought again when it is empty, it loads at once, and the decoder holds
 * nothing of what was there before.
 */
async function seeked(video: HTMLVideoElement, mediaTime: number, signal: AbortSignal): Promise<boolean> {
  const stop = new AbortController();
  const ended = nextEvent(video, 'seeked', AbortSignal.any([signal, stop.signal])).then(() => true);
  let timer = 0;
  let emptied = video.buffered.length === 0;
  const stuck = new Promise<boolean>((resolve) => {
    let since = performance.now();
    timer = window.setInterval(() => {
      if (!emptied && video.buffered.length === 0) {
        emptied = true;
        video.currentTime = mediaTime;
      }
      if (!isBuffered(video, mediaTime)) since = performance.now();
      else if (performance.now() - since > kStuck_ms) resolve(false);
    }, kSeekWatch_ms);
  });
  try {
    video.currentTime = mediaTime;
    return await Promise.race([ended, stuck]);
  } finally {
    window.clearInterval(timer);
    ended.catch(() => undefined);
    stop.abort();
  }
}

function isBuffered(video: HTMLVideoElement, mediaTime: number): boolean {
  for (let i = 0; i < video.buffered.length; ++i) {
    if (video.buffered.start(i) <= mediaTime && mediaTime < video.buffered.end(i)) return true;
  }
  return false;
}
