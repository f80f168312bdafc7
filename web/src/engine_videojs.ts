import { createShell, nextEvent, seekElement, startPlaying } from './engine';
import type { Engine, EngineEvents, Shell } from './engine';

/** Of what VHS keeps in its tech; not in its types. */
interface VhsTech {
  vhs?: { playbackWatcher_?: { fixesBadSeeks_: () => boolean } };
}

/** Rounding of times between chunks. */
const kRounding_s = 0.5;

/** Recordings: Video.js with its own HLS engine (VHS). */
export class VideojsEngine implements Engine {
  readonly video: HTMLVideoElement;
  private readonly shell: Shell;

  constructor(events: EngineEvents) {
    const { shell, video } = createShell();
    this.shell = shell;
    this.video = video;
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
    this.keepSeeks();
    await seekElement(this.video, mediaTime, signal);
  }

  /**
   * VHS takes what it has not loaded yet for a hole in the media when enough is buffered behind it, and jumps there: the picture
   * of another time, seen where a store answers late. Our lists have no holes (where a recording has one the next piece follows).
   */
  private keepSeeks(): void {
    const watcher = (this.shell.tech(true) as unknown as VhsTech).vhs?.playbackWatcher_;
    if (!watcher) return;
    const fixes = watcher.fixesBadSeeks_.bind(watcher);
    watcher.fixesBadSeeks_ = () => {
      const { buffered, currentTime } = this.video;
      for (let i = 0; i < buffered.length; i++) {
        if (buffered.start(i) > currentTime) return buffered.start(i) - currentTime <= kRounding_s && fixes();
      }
      return fixes();
    };
  }

  dispose(): void {
    this.shell.dispose();
  }
}
