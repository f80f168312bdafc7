import { captureTime, SenderClock } from './capture_clock';
import type { CaptureSource } from './capture_clock';
import { LiveError } from './live_error';
import { candidatesOf, iceCredentials, isHidden, restartedAnswer, trickleFragment } from './sdp';
import { createVideo } from './transport';
import type { Transport, TransportEvents } from './transport';
import { WhepSession } from './whep_client';

const kCaptureTime = 'http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time';
/** Candidates come in bursts. */
const kTrickle_ms = 50;
const kWatch_ms = 500;
/** "disconnected" often mends itself; a new network does not. */
const kPatience_ms = 2000;
/** After an ICE restart without a connection only a new session helps. */
const kRestart_ms = 5000;
/** No picture for so long: the camera is away. */
const kStall_ms = 5000;
/** Nothing at all from the server for so long: is it still there? Asked again after twice the time each. */
const kSilence_ms = 2000;
const kMaxSilence_ms = 30_000;
/** STUN and TURN servers that came with the answer are tried if there is no connection by then. */
const kDirect_ms = 700;

/** In Chromium, not yet in TypeScript's library. */
interface HeaderExtensions {
  getHeaderExtensionsToNegotiate?(): { uri: string; direction: string }[];
  setHeaderExtensionsToNegotiate?(extensions: { uri: string; direction: string }[]): void;
}

/** STUN and TURN servers as of the last answer of that address: known at the next play. */
const knownServers = new Map<string, RTCIceServer[]>();

export function webrtcIsPossible(): boolean {
  return typeof RTCPeerConnection === 'function';
}

/** Pictures over WebRTC, by WHEP from `address` (absolute). */
export class WebrtcTransport implements Transport {
  readonly kind = 'webrtc';
  readonly video: HTMLVideoElement;
  private readonly pc: RTCPeerConnection;
  private readonly receiver: RTCRtpReceiver;
  private readonly clock = new SenderClock();
  private session: WhepSession | null = null;
  private answer = '';
  private candidates: string[] = [];
  private gathered = false;
  /** Between the browser's new credentials and the server's: a fragment now would be taken for one more restart. */
  private restarting = false;
  private trickleTimer: number | undefined;
  private patienceTimer: number | undefined;
  private readonly watchTimer: number;
  private stopped = false;
  private ended = false;
  private pictured = false;
  private stalled = false;
  private frames = { count: 0, at: performance.now() };
  /** For browsers without abs-capture-time: half the round trip, and the time in the jitter buffer. */
  private guessedAge_ms: number | null = null;
  private buffered = { delay_s: 0, count: 0 };
  private bytes = { count: 0, at: performance.now(), patience_ms: kSilence_ms };

  constructor(
    private readonly address: string,
    muted: boolean,
    lowestDelay: boolean,
    private readonly events: TransportEvents,
  ) {
    this.video = createVideo(muted);
    this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle', iceServers: knownServers.get(address) ?? [] });
    const video = this.pc.addTransceiver('video', { direction: 'recvonly' });
    this.pc.addTransceiver('audio', { direction: 'recvonly' });
    this.receiver = video.receiver;
    offerCaptureTime(video);
    if (lowestDelay) this.setLowestDelay(true);
    const stream = new MediaStream();
    this.pc.ontrack = ({ track }) => stream.addTrack(track);
    this.pc.onicecandidate = ({ candidate }) => this.onCandidate(candidate);
    this.pc.oniceconnectionstatechange = () => this.onIceState();
    this.video.srcObject = stream;
    this.watchFirstPicture();
    this.watchTimer = window.setInterval(() => void this.watch(), kWatch_ms);
    this.connect().catch((error: unknown) => this.fail(error));
  }

  wallClock(): number | null {
    const taken = captureTime(this.receiver.getSynchronizationSources()[0] as CaptureSource | undefined);
    if (taken !== null || this.guessedAge_ms === null || performance.now() - this.frames.at > 2 * kWatch_ms) return taken;
    return this.clock.now() - this.guessedAge_ms;
  }

  delay_ms(): number | null {
    const taken = this.wallClock();
    return taken === null ? null : this.clock.age_ms(taken);
  }

  setLowestDelay(lowest: boolean): void {
    if ('jitterBufferTarget' in this.receiver) this.receiver.jitterBufferTarget = lowest ? 0 : null;
  }

  networkChanged(): void {
    if (this.session) void this.restart();
  }

  stop(): void {
    if (this.stopped) return;
    this.stopped = true;
    window.clearInterval(this.watchTimer);
    window.clearTimeout(this.trickleTimer);
    window.clearTimeout(this.patienceTimer);
    this.session?.end();
    this.pc.close();
  }

  private fail(error: unknown): void {
    if (this.stopped || this.ended) return;
    this.ended = true;
    this.events.onEnd(error instanceof LiveError ? error : new LiveError('lost', error instanceof Error ? error.message : String(error)));
  }

  private async connect(): Promise<void> {
    await this.pc.setLocalDescription();
    const offer = this.pc.localDescription?.sdp ?? '';
    const session = await WhepSession.create((address, init) => fetch(address, init), this.address, offer);
    if (this.stopped) {
      session.end();
      return;
    }
    this.session = session;
    this.answer = session.answer;
    await this.pc.setRemoteDescription({ type: 'answer', sdp: session.answer });
    this.watchGoodbye();
    this.scheduleTrickle();
    this.useServers(session.iceServers);
  }

  /** Nobody waits for servers before the first play: most are watched from where none is needed. */
  private useServers(servers: RTCIceServer[]): void {
    const known = knownServers.get(this.address) ?? [];
    knownServers.set(this.address, servers);
    if (servers.length === 0 || JSON.stringify(servers) === JSON.stringify(known)) return;
    this.pc.setConfiguration({ bundlePolicy: 'max-bundle', iceServers: servers });
    this.patienceTimer = window.setTimeout(() => {
      if (!this.connected) void this.restart();
    }, kDirect_ms);
  }

  private get connected(): boolean {
    return ['connected', 'completed'].includes(this.pc.iceConnectionState);
  }

  private onCandidate(candidate: RTCIceCandidate | null): void {
    if (candidate === null || candidate.candidate === '') this.gathered = true;
    else if (!isHidden(candidate.candidate)) this.candidates.push(candidate.candidate);
    this.scheduleTrickle();
  }

  private scheduleTrickle(): void {
    if (!this.session || this.restarting || this.candidates.length === 0) return;
    this.trickleTimer ??= window.setTimeout(() => void this.trickle(), kTrickle_ms);
  }

  private async trickle(): Promise<void> {
    this.trickleTimer = undefined;
    const ice = iceCredentials(this.pc.localDescription?.sdp ?? '');
    if (!this.session || this.restarting || !ice || this.stopped) return;
    const batch = this.candidates;
    this.candidates = [];
    try {
      await this.session.trickle(trickleFragment(ice, batch, this.gathered));
    } catch (error) {
      if (error instanceof LiveError && error.kind === 'lost') this.fail(error);
      // Else the next look at the connection tells what there is to do.
    }
  }

  private onIceState(): void {
    const state = this.pc.iceConnectionState;
    if (this.connected) window.clearTimeout(this.patienceTimer);
    if (state === 'disconnected') {
      window.clearTimeout(this.patienceTimer);
      this.patienceTimer = window.setTimeout(() => void this.restart(), kPatience_ms);
    } else if (state === 'failed') {
      this.fail(new LiveError('lost', 'no way to the server over UDP'));
    }
  }

  /** ICE restart: other ways to the same session. */
  private async restart(): Promise<void> {
    if (this.stopped || !this.session || this.restarting) return;
    this.restarting = true;
    window.clearTimeout(this.patienceTimer);
    this.patienceTimer = window.setTimeout(() => {
      if (!this.connected) this.fail(new LiveError('lost', 'the connection did not come back'));
    }, kRestart_ms);
    try {
      this.pc.restartIce();
      this.candidates = [];
      this.gathered = false;
      await this.pc.setLocalDescription();
      const sdp = this.pc.localDescription?.sdp ?? '';
      const ice = iceCredentials(sdp);
      if (!ice) throw new LiveError('lost', 'the browser made no ICE credentials');
      const fragment = await this.session.restart(trickleFragment(ice, candidatesOf(sdp).filter((one) => !isHidden(one)), false));
      const answer = restartedAnswer(this.answer, fragment);
      if (answer === null) throw new LiveError('lost', 'the answer to an ICE restart has no credentials');
      if (this.stopped) return;
      this.answer = answer;
      await this.pc.setRemoteDescription({ type: 'answer', sdp: answer });
      this.restarting = false;
      this.scheduleTrickle();
    } catch (error) {
      this.fail(error);
    }
  }

  /** DTLS says goodbye when the server goes down or ends the session: sooner than ICE notices. */
  private watchGoodbye(): void {
    const dtls = this.receiver.transport;
    dtls?.addEventListener('statechange', () => {
      if (['failed', 'closed'].includes(dtls.state)) this.fail(new LiveError('lost', 'the connection has ended'));
    });
  }

  private watchFirstPicture(): void {
    const found = (): void => {
      if (this.pictured || this.stopped || this.video.videoWidth === 0) return;
      this.pictured = true;
      this.frames.at = performance.now();
      this.events.onPicture();
    };
    if ('requestVideoFrameCallback' in this.video) this.video.requestVideoFrameCallback(found);
    this.video.addEventListener('loadeddata', found);
    // Audio first: no width yet.
    this.video.addEventListener('resize', found);
  }

  private async watch(): Promise<void> {
    let bytes = 0;
    let frames = 0;
    let roundTrip_ms = 0;
    let buffered = this.buffered;
    const reports = await this.pc.getStats();
    if (this.stopped) return;
    reports.forEach((report: Record<string, unknown>) => {
      const number = (name: string): number => (typeof report[name] === 'number' ? report[name] : 0);
      if (report['type'] === 'transport') bytes += number('bytesReceived');
      if (report['type'] === 'inbound-rtp' && report['kind'] === 'video') {
        frames = number('framesDecoded');
        buffered = { delay_s: number('jitterBufferDelay'), count: number('jitterBufferEmittedCount') };
      }
      if (report['type'] === 'candidate-pair' && report['nominated'] === true) roundTrip_ms = number('currentRoundTripTime') * 1000;
    });
    reports.forEach((report: Record<string, unknown>) => {
      if (report['type'] !== 'remote-outbound-rtp' || report['kind'] !== 'video') return;
      const { timestamp, remoteTimestamp } = report as { timestamp: number; remoteTimestamp?: number };
      if (remoteTimestamp !== undefined) this.clock.update({ timestamp, remoteTimestamp }, roundTrip_ms);
    });
    if (buffered.count > this.buffered.count) {
      const held_s = (buffered.delay_s - this.buffered.delay_s) / (buffered.count - this.buffered.count);
      this.guessedAge_ms = held_s * 1000 + roundTrip_ms / 2;
      this.buffered = buffered;
    }
    this.watchPictures(frames);
    this.watchSilence(bytes);
  }

  private watchPictures(count: number): void {
    const now = performance.now();
    if (count !== this.frames.count) this.frames = { count, at: now };
    const stalled = now - this.frames.at > kStall_ms;
    if (!this.pictured || stalled === this.stalled) return;
    this.stalled = stalled;
    this.events.onStall(stalled);
  }

  /** A server that was started again knows nothing of this session, and says so sooner than ICE gives up. */
  private watchSilence(count: number): void {
    const now = performance.now();
    if (count - this.bytes.count > 0) {
      this.bytes = { count, at: now, patience_ms: kSilence_ms };
      return;
    }
    if (!this.session || this.restarting || !this.pictured || now - this.bytes.at < this.bytes.patience_ms) return;
    this.bytes.patience_ms = Math.min(2 * this.bytes.patience_ms, kMaxSilence_ms);
    this.bytes.at = now;
    const ice = iceCredentials(this.pc.localDescription?.sdp ?? '');
    if (!ice) return;
    this.session.trickle(trickleFragment(ice, [], this.gathered)).catch((error: unknown) => {
      // Something may have come meanwhile.
      if (this.bytes.at === now) this.fail(error);
    });
  }
}

function offerCaptureTime(transceiver: RTCRtpTransceiver & HeaderExtensions): void {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.();
  if (!extensions || !transceiver.setHeaderExtensionsToNegotiate) return;
  const wanted = extensions.map((one) => (one.uri === kCaptureTime ? { ...one, direction: 'recvonly' } : one));
  transceiver.setHeaderExtensionsToNegotiate(wanted);
}
