// Arithmetic of the timeline bar: wall-clock time to pixels and back, and where the labels go.
import type { Gap, Span, Timeline } from './api';

export class TimelineScale {
  constructor(
    readonly from: number,
    readonly to: number,
    readonly width: number,
  ) {}

  x(wallMs: number): number {
    return ((wallMs - this.from) / (this.to - this.from)) * this.width;
  }

  wall(x: number): number {
    const share = Math.min(1, Math.max(0, x / this.width));
    return this.from + share * (this.to - this.from);
  }
}

const kSecond_ms = 1000;
const kMinute_ms = 60 * kSecond_ms;
const kHour_ms = 60 * kMinute_ms;
const kSteps_ms = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * kSecond_ms),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * kMinute_ms),
  ...[1, 2, 3, 6, 12, 24].map((n) => n * kHour_ms),
];

export interface Ticks {
  readonly times: readonly number[];
  readonly step_ms: number;
}

/** Round local times at least `minDistance` pixels apart. `offset_ms` is local time minus UTC. */
export function ticks(scale: TimelineScale, minDistance: number, offset_ms: number): Ticks {
  const perPixel = (scale.to - scale.from) / scale.width;
  const step_ms = kSteps_ms.find((step) => step / perPixel >= minDistance) ?? 24 * kHour_ms;
  const times: number[] = [];
  let time = Math.ceil((scale.from + offset_ms) / step_ms) * step_ms - offset_ms;
  for (; time <= scale.to; time += step_ms) times.push(time);
  return { times, step_ms };
}

/** A short gap in a long interval is less than a pixel wide: `slack_ms` lets the pointer find it. */
export function gapAt(timeline: Timeline, wallMs: number, slack_ms = 0): Gap | null {
  return timeline.gaps.find((gap) => wallMs >= gap.start - slack_ms && wallMs < gap.end + slack_ms) ?? null;
}

export function spanAt(timeline: Timeline, wallMs: number): Span | null {
  return timeline.spans.find((span) => wallMs >= span.start && wallMs < span.end) ?? null;
}
