/**
 * Why live pictures ended or did not begin.
 * unsupported: this camera cannot be had this way (no such camera, no codec in common). busy: asked to come back later.
 * signed_out: nobody is signed in. unreachable: the server does not answer. lost: it did, and the connection broke.
 */
export type LiveErrorKind = 'unsupported' | 'busy' | 'signed_out' | 'unreachable' | 'lost';

export class LiveError extends Error {
  constructor(
    readonly kind: LiveErrorKind,
    message: string,
    /** Seconds the server asked to wait, if it did. */
    readonly retryAfter_s: number | null = null,
  ) {
    super(message);
  }
}
