// Which wall-clock time a picture has: the page's own table from EXT-X-PROGRAM-DATE-TIME (RFC 8216, 4.3.2.6).
// The players' own conversions are not used: that of Video.js failed in every measurement.
import { parseRfc3339 } from './time_format';

/** One media segment: `mediaStart` and `duration` in seconds of the player's time, `wallStart` in Unix milliseconds. */
export interface ClockEntry {
  readonly mediaStart: number;
  readonly duration: number;
  readonly wallStart: number;
}

export interface MediaPosition {
  readonly mediaTime: number;
  /** False when nothing was recorded at that time: the position is then the start of the next recording. */
  readonly exact: boolean;
}

/** Segments whose clocks differ by less than this are neighbours, not a gap: EXTINF is rounded. */
const kJoinTolerance_ms = 50;

/** Media timestamps continue over objects, so PROGRAM-DATE-TIME within a run corrects the rounding of EXTINF; more is a gap. */
const kMaxRounding_s = 2;

export class ClockTable {
  /** Entries in order of both clocks. */
  constructor(readonly entries: readonly ClockEntry[]) {}

  get empty(): boolean {
    return this.entries.length === 0;
  }

  get wallStart(): number | null {
    return this.entries[0]?.wallStart ?? null;
  }

  get wallEnd(): number | null {
    const last = this.entries.at(-1);
    return last ? last.wallStart + last.duration * 1000 : null;
  }

  /** Times before the first picture are null; times after the last are its end. */
  toWall(mediaTime: number): number | null {
    const entry = this.entries[this.lastStartingAt(mediaTime, (e) => e.mediaStart)];
    if (!entry) return null;
    return entry.wallStart + Math.min(mediaTime - entry.mediaStart, entry.duration) * 1000;
  }

  /** Null when nothing in this table was recorded at or after `wallMs`. */
  toMedia(wallMs: number): MediaPosition | null {
    const index = this.lastStartingAt(wallMs, (e) => e.wallStart);
    const entry = this.entries[index];
    if (entry) {
      const offset_ms = wallMs - entry.wallStart;
      if (offset_ms < entry.duration * 1000) return { mediaTime: entry.mediaStart + offset_ms / 1000, exact: true };
    }
    const next = this.entries[index + 1];
    if (!next) return null;
    return { mediaTime: next.mediaStart, exact: next.wallStart - wallMs <= kJoinTolerance_ms };
  }

  private lastStartingAt(value: number, start: (entry: ClockEntry) => number): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (start(this.entries[middle]!) <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

export interface ParsedPlaylist {
  readonly table: ClockTable;
  /** EXT-X-ENDLIST: the server will add nothing. */
  readonly ended: boolean;
}

/** Reads a media playlist. Segments before the first PROGRAM-DATE-TIME have no clock and are left out of the table. */
export function parsePlaylist(text: string): ParsedPlaylist {
  const entries: ClockEntry[] = [];
  let mediaTime = 0;
  let wallTime: number | null = null;
  let date: number | null = null;
  let discontinuity = false;
  let duration: number | null = null;
  let ended = false;

  for (const rawLine of text.split('\n')) {
    const line = rawLine.trim();
    if (line.startsWith('#EXTINF:')) {
      const seconds = Number.parseFloat(line.slice('#EXTINF:'.length));
      duration = seconds >= 0 ? seconds : 0;
    } else if (line.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) {
      date = parseRfc3339(line.slice('#EXT-X-PROGRAM-DATE-TIME:'.length));
    } else if (line === '#EXT-X-DISCONTINUITY') {
      discontinuity = true;
    } else if (line === '#EXT-X-ENDLIST') {
      ended = true;
    } else if (line !== '' && !line.startsWith('#') && duration !== null) {
      if (date !== null) {
        if (wallTime !== null && !discontinuity) {
          const correction_s = (date - wallTime) / 1000;
          if (Math.abs(correction_s) <= kMaxRounding_s) mediaTime += correction_s;
        }
        wallTime = date;
      }
      if (wallTime !== null) {
        entries.push({ mediaStart: mediaTime, duration, wallStart: wallTime });
        wallTime += duration * 1000;
      }
      mediaTime += duration;
      duration = null;
      date = null;
      discontinuity = false;
    }
  }
  return { table: new ClockTable(entries), ended };
}
