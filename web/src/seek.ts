// Seeking in a recording, so that the picture of that very time is shown.
import { nextEvent } from './engine';
import type { VhsLoader } from './vhs_loader';

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
/** An append or a removal takes less. */
const kBusy_ms = 1000;
const kBusyWatch_ms = 4;
/** Nothing comes that the place needs. */
const kSilent_ms = 3000;

/**
 * Seeks and resolves when the picture is on the screen. A seek to what is not loaded may go wrong. VHS empties the buffer while the
 * decoder reads from it: Chromium goes on with the next key frame (a picture that is too late under the right time), or without one
 * stays with the old picture or never ends. Or VHS takes what it has not loaded yet for a hole and jumps behind it. All are over when
 * the place is sought again.
 */
export async function seekElement(video: HTMLVideoElement, loader: VhsLoader, mediaTime: number, signal: AbortSignal): Promise<void> {
  const before = video.currentTime;
  for (let attempt = 1; attempt <= kAttempts; ++attempt) {
    if (!isBuffered(video, mediaTime) && isBuffered(video, mediaTime + kTolerance_s)) {
      await seeked(video, loader, Math.max(0, mediaTime - 2 * kTolerance_s), signal);
    }
    if (await seekOnce(video, loader, before, mediaTime, signal)) return;
  }
}

/** Whether the picture of that place is shown, as far as the browser tells; `before` is where the picture was that is replaced. */
async function seekOnce(
  video: HTMLVideoElement,
  loader: VhsLoader,
  before: number,
  mediaTime: number,
  signal: AbortSignal,
): Promise<boolean> {
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
    if (!(await seeked(video, loader, mediaTime, signal))) return false;
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
 * False when nothing comes that the place needs, or the decoder stands still before a place that is loaded. VHS empties its buffer for
 * a place that is not loaded: sought again when it is empty, the decoder holds nothing of what was there before.
 */
async function seeked(video: HTMLVideoElement, loader: VhsLoader, mediaTime: number, signal: AbortSignal): Promise<boolean> {
  const began = performance.now();
  while (loader.busy && performance.now() - began < kBusy_ms) await new Promise((resolve) => window.setTimeout(resolve, kBusyWatch_ms));
  signal.throwIfAborted();
  const stop = new AbortController();
  const ended = nextEvent(video, 'seeked', AbortSignal.any([signal, stop.signal])).then(() => true);
  let timer = 0;
  let emptied = video.buffered.length === 0;
  const stuck = new Promise<boolean>((resolve) => {
    let missing = performance.now();
    timer = window.setInterval(() => {
      if (!emptied && video.buffered.length === 0) {
        emptied = true;
        loader.seekDecoder(mediaTime);
      }
      const now = performance.now();
      if (!isBuffered(video, mediaTime)) {
        missing = now;
        if (video.buffered.length === 0) loader.hurry();
      }
      if (now - missing > kStuck_ms || now - Math.max(began, loader.progressAt) > kSilent_ms) resolve(false);
    }, kSeekWatch_ms);
  });
  try {
    loader.seek(mediaTime);
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
