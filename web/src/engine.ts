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

/** Seeks and resolves when the picture is on the screen. */
export async function seekElement(video: HTMLVideoElement, mediaTime: number, signal: AbortSignal): Promise<void> {
  let waiting = true;
  const drawn = new Promise<void>((resolve) => {
    // The first picture drawn from now on may still be an older one.
    const onDrawn = (_now: number, shown: VideoFrameCallbackMetadata): void => {
      const late = mediaTime - shown.mediaTime;
      if (late > -0.001 && late < kFrame_s) resolve();
      else if (waiting) video.requestVideoFrameCallback(onDrawn);
    };
    if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(onDrawn);
  });
  try {
    const seeked = nextEvent(video, 'seeked', signal);
    video.currentTime = mediaTime;
    await seeked;
    await Promise.race([drawn, new Promise((resolve) => setTimeout(resolve, kFrameWait_ms))]);
  } finally {
    waiting = false;
  }
}
