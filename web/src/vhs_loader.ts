// What of VHS, the HLS engine of Video.js, a seek has to know and its public interface does not tell. The package is pinned; a new version
// is tried with recording.test.mjs, under load.
import type { Shell } from './engine';

interface Vhs {
  /** It does nothing about the next `seeking`. */
  ignoreNextSeekingEvent_: boolean;
  /** Loads what is needed there, unless it is there; gives up what it loads for another place. */
  setCurrentTime(mediaTime: number): void;
  readonly playlistController_: {
    readonly sourceUpdater_: { updating(): boolean };
    readonly mainSegmentLoader_: {
      /** "READY" to ask, "WAITING" for an answer, "APPENDING" it. */
      readonly state: string;
      /** Reads what segments hold. */
      readonly transmuxer_: Worker;
      /** Loads what is missing now, if it is ready. */
      monitorBuffer_(): void;
    };
  };
}

export class VhsLoader {
  /** When something came, by performance.now(). */
  progressAt = 0;
  private told = true;

  constructor(
    private readonly shell: Shell,
    private readonly video: HTMLVideoElement,
  ) {
    const tech = shell.tech(true);
    tech.on('loadstart', () => this.vhs && answerFirst(this.vhs.playlistController_.mainSegmentLoader_.transmuxer_));
    tech.on('progress', () => (this.progressAt = performance.now()));
    tech.on('seeking', () => (this.told = true));
  }

  /**
   * A seek that comes now would leave VHS confused: given up within an append it takes the buffer to have another offset than it has, and
   * shows the pictures of another time; and it takes for loaded what is about to be removed.
   */
  get busy(): boolean {
    const parts = this.vhs?.playlistController_;
    return !this.told || (parts !== undefined && (parts.mainSegmentLoader_.state === 'APPENDING' || parts.sourceUpdater_.updating()));
  }

  /** At once, and not at `seeking`: it may be busy by then. */
  seek(mediaTime: number): void {
    this.seekDecoder(mediaTime);
    this.vhs?.setCurrentTime(mediaTime);
  }

  /** The decoder alone: VHS goes on with what it loads. */
  seekDecoder(mediaTime: number): void {
    if (this.vhs) {
      this.told = false;
      this.vhs.ignoreNextSeekingEvent_ = true;
    }
    this.video.currentTime = mediaTime;
  }

  /** It looks each half second whether it can load. */
  hurry(): void {
    this.vhs?.playlistController_.mainSegmentLoader_.monitorBuffer_();
  }

  /** Another one for each source; none where the browser plays HLS itself. */
  private get vhs(): Vhs | undefined {
    return (this.shell.tech(true) as unknown as { vhs?: Vhs }).vhs;
  }
}

/**
 * Gives an answer of VHS's worker to who asked first. VHS gives it to all who wait for one of its kind: after a seek these are the request
 * that was given up and the next one, which then loses its bytes and never ends.
 */
function answerFirst(worker: Worker): void {
  type Listener = (event: Event) => void;
  const add = worker.addEventListener.bind(worker) as (type: string, listener: Listener) => void;
  const remove = worker.removeEventListener.bind(worker) as typeof add;
  const waiting = new Map<Listener, Listener>();
  const answered = new WeakSet<Event>();
  const addInTurn: typeof add = (type, listener) => {
    const inTurn = (event: Event): void => {
      if (answered.has(event)) return;
      listener(event);
      // It stops waiting when it has its answer.
      if (!waiting.has(listener)) answered.add(event);
    };
    waiting.set(listener, inTurn);
    add(type, inTurn);
  };
  const removeOwn: typeof remove = (type, listener) => {
    remove(type, waiting.get(listener) ?? listener);
    waiting.delete(listener);
  };
  Object.assign(worker, { addEventListener: addInTurn, removeEventListener: removeOwn });
}
