// The least that plays a camera live: one offer to POST /offer, pictures and sound into the one <video>. `?camera=NAME` chooses the
// camera, `#t=TOKEN` is that of a share link. What goes wrong stands in the title. Imports nothing: to be read, and copied from.

const kRetry_ms = 2000;
const kGather_ms = 1000;
/** "disconnected" often mends itself. */
const kPatience_ms = 2000;

const video = document.querySelector('video')!;
const camera = new URLSearchParams(location.search).get('camera');

async function post(path: string, body: unknown): Promise<Response> {
  const response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  if (response.ok) return response;
  const problem = (await response.json().catch(() => ({}))) as { detail?: string; title?: string };
  throw new Error(problem.detail ?? problem.title ?? `${response.status} ${response.statusText}`);
}

/** Swaps the token of a share link for a cookie. */
async function redeemToken(): Promise<void> {
  const token = new URLSearchParams(location.hash.slice(1)).get('t');
  if (!token) return;
  history.replaceState(null, '', location.pathname + location.search);
  await post('./api/v1/session', { token });
}

/** An offer cannot be added to here: it waits for the browser's addresses. */
function gathered(pc: RTCPeerConnection): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, kGather_ms);
    pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && resolve());
  });
}

/** Resolves when the connection is over. */
function over(pc: RTCPeerConnection): Promise<void> {
  return new Promise((resolve) => {
    let timer: number | undefined;
    pc.addEventListener('connectionstatechange', () => {
      window.clearTimeout(timer);
      const state = pc.connectionState;
      if (state === 'connected') document.title = camera ?? 'miharu';
      if (state === 'disconnected') timer = window.setTimeout(resolve, kPatience_ms);
      if (state === 'failed' || state === 'closed') resolve();
    });
  });
}

/** The server says so when it ends; else it takes seconds to notice. */
function goodbye(pc: RTCPeerConnection): Promise<void> {
  return new Promise((resolve) => {
    const dtls = pc.getReceivers()[0]?.transport;
    dtls?.addEventListener('statechange', () => dtls.state === 'closed' && resolve());
  });
}

async function play(): Promise<void> {
  const pc = new RTCPeerConnection();
  try {
    const stream = new MediaStream();
    pc.addTransceiver('video', { direction: 'recvonly' });
    pc.addTransceiver('audio', { direction: 'recvonly' });
    pc.addEventListener('track', ({ track }) => stream.addTrack(track));
    const ended = over(pc);
    const complete = gathered(pc);
    await pc.setLocalDescription();
    await complete;
    const { sdp, type } = pc.localDescription!;
    const answer = await post('./offer', { sdp, type, ...(camera === null ? {} : { camera }) });
    await pc.setRemoteDescription((await answer.json()) as RTCSessionDescriptionInit);
    video.srcObject = stream;
    await Promise.race([ended, goodbye(pc)]);
  } finally {
    pc.close();
  }
}

async function run(): Promise<void> {
  await redeemToken().catch((error: unknown) => (document.title = String(error)));
  for (;;) {
    await play().catch((error: unknown) => (document.title = error instanceof Error ? error.message : String(error)));
    await new Promise((resolve) => setTimeout(resolve, kRetry_ms));
  }
}

void run();
