// How old a picture is: when it was taken, by abs-capture-time, and what the server's clock says now, by RTCP sender reports.
// The clock of this machine may be wrong: only differences of it are used where there is a sender report.

/** NTP counts from 1900. */
const kNtpToUnix_ms = 2_208_988_800_000;
/** Worse than any network, and more than clocks that are set differ. */
const kMaxPlausible_ms = 24 * 3_600_000;

/** RTCRtpContributingSource with what TypeScript does not know yet (webrtc-extensions). */
export interface CaptureSource {
  /** NTP time in milliseconds, by the clock that stamped the picture. */
  readonly captureTimestamp?: number;
  /** That clock minus the sender's. */
  readonly senderCaptureTimeOffset?: number;
}

/** A sender report as getStats() shows it ("remote-outbound-rtp"), in milliseconds. */
export interface SenderReport {
  /** When it came, by our clock. */
  readonly timestamp: number;
  /** What the sender's clock said when it left. */
  readonly remoteTimestamp: number;
}

/** Unix milliseconds by the sender's clock at which the picture was taken; null: it does not say. */
export function captureTime(source: CaptureSource | undefined): number | null {
  if (source?.captureTimestamp === undefined) return null;
  return source.captureTimestamp - kNtpToUnix_ms - (source.senderCaptureTimeOffset ?? 0);
}

/** The sender's clock minus ours. */
export class SenderClock {
  private offset_ms = 0;
  private from: SenderReport | null = null;

  /** Some browsers give `remoteTimestamp` since 1900. */
  update(report: SenderReport, roundTrip_ms: number): void {
    if (!(report.remoteTimestamp > 0) || report.timestamp === this.from?.timestamp) return;
    const remote = report.remoteTimestamp > kNtpToUnix_ms ? report.remoteTimestamp - kNtpToUnix_ms : report.remoteTimestamp;
    const offset = remote + roundTrip_ms / 2 - report.timestamp;
    // A report that waited on its way says too little: of all offsets the largest is the best, but clocks drift.
    this.offset_ms = this.from === null || offset > this.offset_ms ? offset : this.offset_ms + (offset - this.offset_ms) / 8;
    this.from = report;
  }

  /** Unix milliseconds by the sender's clock. */
  now(local_ms: number = Date.now()): number {
    return local_ms + this.offset_ms;
  }

  /** Null when the times cannot be compared. */
  age_ms(capture_ms: number, local_ms: number = Date.now()): number | null {
    const age = this.now(local_ms) - capture_ms;
    return Math.abs(age) < kMaxPlausible_ms ? Math.max(0, age) : null;
  }
}
