import Hls from 'hls.js/light';
import type { LevelDetails } from 'hls.js';
import { ClockTable } from './clock_table';
import type { ClockEntry } from './clock_table';
import { createShell, nextEvent, seekElement, startPlaying } from './engine';
import type { Engine, EngineEvents, Shell } from './engine';

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
      // Two entries behind the newest: ordinary HLS, no parts held open.
      liveSyncDurationCount: 2,
      liveMaxLatencyDurationCount: 6,
      maxLiveSyncPlaybackRate: 1.1,
      backBufferLength: 30,
      startPosition: mediaTime ?? -1,
    });
    this.hls = hls;
    // Not fatal: hls.js goes on by itself, and reports "aborted" at every seek.
    hls.on(Hls.Events.ERROR, (_event, data) => {
      if (data.fatal && this.hls === hls) this.events.onFailure(data.error.message);
    });
    hls.on(Hls.Events.LEVEL_UPDATED, (_event, data) => this.events.onTable?.(liveTable(data.details)));
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
  for (const fragment of details.fragments) {
    if (fragment.programDateTime === null) continue;
    entries.push({ mediaStart: fragment.start, duration: fragment.duration, wallStart: fragment.programDateTime });
  }
  return new ClockTable(entries);
}
