import { createShell, nextEvent, startPlaying } from './engine';
import type { Engine, EngineEvents, Shell } from './engine';
import { seekElement } from './seek';
import { VhsLoader } from './vhs_loader';

/** Recordings: Video.js with its own HLS engine (VHS). */
export class VideojsEngine implements Engine {
  readonly video: HTMLVideoElement;
  private readonly shell: Shell;
  private readonly loader: VhsLoader;

  constructor(events: EngineEvents) {
    const { shell, video } = createShell();
    this.shell = shell;
    this.video = video;
    this.loader = new VhsLoader(shell, video);
    shell.on('error', () => events.onFailure(shell.error()?.message ?? ''));
  }

  async load(address: string, mediaTime: number, playing: boolean, signal: AbortSignal): Promise<void> {
    const started = nextEvent(this.video, 'loadstart', signal);
    this.shell.error(undefined);
    this.shell.src({ src: new URL(address, document.baseURI).href, type: 'application/vnd.apple.mpegurl' });
    await started;
    const ready = nextEvent(this.video, 'canplay', signal);
    // VHS jumps to EXT-X-START at the first play() and not before: play first, or a later play() would undo the seek.
    void startPlaying(this.video);
    // Not at loadedmetadata: a seek there hung in 11 of 14 measurements.
    await ready;
    if (!playing) this.video.pause();
    await this.seek(mediaTime, signal);
  }

  seek(mediaTime: number, signal: AbortSignal): Promise<void> {
    return seekElement(this.video, this.loader, mediaTime, signal);
  }

  dispose(): void {
    this.shell.dispose();
  }
}
