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
  /** Resolves when the picture at `mediaTime` is on the screen. */
  seek(mediaTime: number, signal: AbortSignal): Promise<void>;
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
