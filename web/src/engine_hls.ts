import Hls from 'hls.js/light';
import type { LevelDetails, LoaderResponse } from 'hls.js';
import { ClockTable } from './clock_table';
import type { ClockEntry } from './clock_table';
import { createShell, nextEvent, seekElement, startPlaying } from './engine';
import type { Engine, EngineEvents, Shell } from './engine';

/** Further behind than this, and 10 % more speed would take too long. */
const kMaxBehind_s = 3;

/** A camera or a server that is away for a while comes back: only an answer that says no ends the trying. */
const kPatient = {
  timeoutRetry: { maxNumRetry: Infinity, retryDelayMs: 0, maxRetryDelayMs: 0 },
  errorRetry: {
    maxNumRetry: Infinity,
    retryDelayMs: 250,
    maxRetryDelayMs: 1000,
    shouldRetry: (_config: unknown, _count: number, isTimeout: boolean, response: LoaderResponse | undefined): boolean =>
      isTimeout || !response?.code || response.code >= 500,
  },
};

/** Live pictures: hls.js under the controls of Video.js. */
export class HlsEngine implements Engine {
  readonly video: HTMLVideoElement;
  private readonly shell: Shell;
  private hls: Hls | null = null;

  constructor(private readonly events: EngineEvents) {
    const { shell, video } = createShell();
    this.shell = shell;
    this.video = video;
  }

  async load(address: string, mediaTime: number | null, playing: boolean, signal: AbortSignal): Promise<void> {
    this.hls?.destroy();
    const hls = new Hls({
      // How far behind is the list's to say (PART-HOLD-BACK).
      lowLatencyMode: true,
      maxLiveSyncPlaybackRate: 1.1,
      // A camera that was away for a while is no reason to stay further behind.
      liveSyncOnStallIncrease: 0.1,
      backBufferLength: 30,
      startPosition: mediaTime ?? -1,
      playlistLoadPolicy: { default: { ...kPatient, maxTimeToFirstByteMs: 12_000, maxLoadTimeMs: 20_000 } },
      fragLoadPolicy: { default: { ...kPatient, maxTimeToFirstByteMs: 10_000, maxLoadTimeMs: 60_000 } },
    });
    this.hls = hls;
    // Not fatal: hls.js goes on by itself, and reports "aborted" at every seek.
    hls.on(Hls.Events.ERROR, (_event, data) => {
      if (data.fatal && this.hls === hls) this.events.onFailure(data.error.message);
    });
    hls.on(Hls.Events.LEVEL_UPDATED, (_event, data) => {
      this.events.onTable?.(liveTable(data.details));
      catchUp(hls, this.video);
    });
    const ready = nextEvent(this.video, 'canplay', signal);
    hls.loadSource(new URL(address, document.baseURI).href);
    hls.attachMedia(this.video);
    await ready;
    if (mediaTime !== null) await seekElement(this.video, mediaTime, signal);
    if (playing) await startPlaying(this.video);
  }

  dispose(): void {
    this.hls?.destroy();
    this.hls = null;
    this.shell.dispose();
  }
}

function liveTable(details: LevelDetails): ClockTable {
  const entries: ClockEntry[] = [];
  // The hint is the segment that still grows: its parts are shown already.
  for (const fragment of details.fragmentHint ? [...details.fragments, details.fragmentHint] : details.fragments) {
    if (fragment.programDateTime === null) continue;
    entries.push({ mediaStart: fragment.start, duration: fragment.duration, wallStart: fragment.programDateTime });
  }
  return new ClockTable(entries);
}

function catchUp(hls: Hls, video: HTMLVideoElement): void {
  const target = hls.liveSyncPosition;
  if (target === null || video.paused || video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) return;
  if (target - video.currentTime > kMaxBehind_s) video.currentTime = target;
}
