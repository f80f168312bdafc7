// Everything the page says, in one place.
import type { CameraState } from './api';
import type { LiveState } from './live/live_view';
import type { Waiting } from './live/transport';
import { formatDuration } from './time_format';

export const text = {
  wrongPassword: 'User or password is wrong.',
  linkRefused: 'This link is no longer valid. Sign in, or ask for a new link.',
  sessionEnded: 'Your session has ended. Please sign in again.',
  tooManyAttempts: (wait_s: number | null): string =>
    wait_s ? `Too many attempts. Try again in ${formatDuration(wait_s * 1000)}.` : 'Too many attempts. Try again later.',
  unreachable: 'The server does not answer. Trying again…',
  noCameras: 'No camera has been set up for you.',
  loading: 'Loading…',
  connectingLive: 'Waiting for live pictures…',
  offline: 'The camera is not sending pictures.',
  off: 'The camera is switched off.',
  retrying: 'Live pictures return by themselves when the camera does.',
  noRecording: 'Nothing was recorded here.',
  noLaterRecording: 'There is no later recording in this interval.',
  nextRecording: (time: string): string => `The next recording starts at ${time}.`,
  goTo: (time: string): string => `Go to ${time}`,
  playbackFailed: 'This recording could not be played.',
  tryAgain: 'Try again',
  endOfInterval: 'End of the interval.',
  badTime: 'Enter a date and time for both ends.',
  emptyInterval: 'The start must be before the end.',
  futureInterval: 'The start is in the future.',
  longInterval: 'At most 7 days can be played at once.',
  live: 'Live',
  recorded: 'Recording',
  stopped: 'Stopped',
  play: 'Play',
  pause: 'Pause',
  noPicture: '--:--:--',
  notRecorded: 'not recorded',
  gap: (from: string, to: string, reason: string): string => `No recording ${from} – ${to}: ${reason}`,
  cameraState: {
    recording: 'recording',
    connecting: 'connecting',
    waiting: 'waiting for the camera',
    off: 'off',
    stored: 'stored',
  } satisfies Record<CameraState, string>,
  safeUntil: (time: string): string => `safe off-site up to ${time}`,
  lateUntil: (time: string, behind: string): string => `safe off-site only up to ${time} (${behind} behind)`,
  liveState: (state: LiveState, delay_ms: number | null): string => {
    switch (state.kind) {
      case 'connecting':
        return 'connecting';
      case 'asking':
        return text.waiting[state.waiting];
      case 'live':
        if (state.transport === 'bucket') return delay_ms === null ? 'live' : `live, ${Math.round(delay_ms / 1000)} s behind`;
        return `${state.transport === 'hls' ? 'HLS' : 'live'}${delay_ms === null ? '' : ` ${formatDelay(delay_ms)}`}`;
      case 'away':
        return 'camera away';
      case 'reconnecting':
        return state.reason ? `reconnecting: ${state.reason}` : 'reconnecting';
      case 'paused':
        return 'paused';
      case 'signed_out':
        return 'signed out';
    }
  },
  waiting: {
    asking: 'asking the recorder…',
    camera_away: 'the recorder has no picture of this camera',
    recorder_away: 'the recorder does not answer',
  } satisfies Record<Waiting, string>,
  askingRecorder: 'Asking the recorder for live pictures…',
  askingDetail: 'This takes up to 13 seconds when nobody watched for a while.',
  noNewPictures: 'no new pictures',
  recorderSilent: 'No new pictures come from the recorder.',
  recorderHasNone: 'The recorder answers, but its camera sends no pictures.',
  recorderAway: 'The recorder does not answer.',
  recorderAwayDetail: (until: string | null): string =>
    [until === null ? '' : `What it recorded last and brought here ends at ${until}.`, 'Pictures come by themselves when it is back.']
      .join(' ')
      .trim(),
  soundOn: 'Sound on',
  soundOff: 'Sound off',
  lowestDelay: 'Lowest delay: each picture as soon as it comes, less smooth on a poor network',
  pictureInPicture: 'Picture in picture',
  fullScreen: 'Full screen',
  bitrate: (bps: number): string => `${(bps / 1e6).toFixed(1)} Mbit/s`,
};

/** To 10 ms below a second: the last digit would only flicker. */
function formatDelay(delay_ms: number): string {
  return delay_ms < 995 ? `${Math.round(delay_ms / 10) * 10} ms` : `${(delay_ms / 1000).toFixed(1)} s`;
}
