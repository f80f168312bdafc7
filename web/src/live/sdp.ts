// The little that WHEP needs to know of SDP: fragments for trickle ICE and ICE restart (RFC 8840).

export interface IceCredentials {
  readonly ufrag: string;
  readonly password: string;
  /** Of the first media section; the only one with a transport under BUNDLE. */
  readonly media: string;
  readonly mid: string;
}

const kLineEnd = '\r\n';

function lines(sdp: string): string[] {
  return sdp.split(/\r?\n/).filter((line) => line !== '');
}

function value(of: readonly string[], prefix: string): string | null {
  return of.find((line) => line.startsWith(prefix))?.slice(prefix.length) ?? null;
}

export function iceCredentials(sdp: string): IceCredentials | null {
  const all = lines(sdp);
  const ufrag = value(all, 'a=ice-ufrag:');
  const password = value(all, 'a=ice-pwd:');
  const media = value(all, 'm=');
  const mid = value(all, 'a=mid:');
  return ufrag !== null && password !== null && media !== null && mid !== null ? { ufrag, password, media, mid } : null;
}

/** `candidates` are RTCIceCandidate.candidate strings. */
export function trickleFragment(ice: IceCredentials, candidates: readonly string[], complete: boolean): string {
  const out = [
    `a=ice-ufrag:${ice.ufrag}`,
    `a=ice-pwd:${ice.password}`,
    `m=${ice.media}`,
    `a=mid:${ice.mid}`,
    ...candidates.map((candidate) => `a=${candidate.replace(/^a=/, '')}`),
  ];
  if (complete) out.push('a=end-of-candidates');
  return out.join(kLineEnd) + kLineEnd;
}

/** The candidates in a description. */
export function candidatesOf(sdp: string): string[] {
  return lines(sdp).filter((line) => line.startsWith('a=candidate:')).map((line) => line.slice(2));
}

/** Of no use to the server: a browser's name for an address that it hides. */
export function isHidden(candidate: string): boolean {
  return / \S+\.local /i.test(candidate);
}

/** `answer` with the ICE credentials and candidates of the fragment that answers an ICE restart. Null: it has none. */
export function restartedAnswer(answer: string, fragment: string): string | null {
  const from = lines(fragment);
  const ufrag = value(from, 'a=ice-ufrag:');
  const password = value(from, 'a=ice-pwd:');
  if (ufrag === null || password === null) return null;
  const fresh = from.filter((line) => line.startsWith('a=candidate:') || line === 'a=end-of-candidates');
  const out: string[] = [];
  let placed = false;
  for (const line of lines(answer)) {
    if (line.startsWith('a=candidate:') || line === 'a=end-of-candidates') continue;
    if (line.startsWith('a=ice-ufrag:')) out.push(`a=ice-ufrag:${ufrag}`);
    else if (line.startsWith('a=ice-pwd:')) out.push(`a=ice-pwd:${password}`);
    else out.push(line);
    // BUNDLE: the first media section has the transport.
    if (line.startsWith('a=mid:') && !placed) {
      out.push(...fresh);
      placed = true;
    }
  }
  return out.join(kLineEnd) + kLineEnd;
}
