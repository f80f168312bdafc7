/**
 * CloudFront signs what it passes to the function for a caller, and leaves it to the caller to tell the hash of a body. Nobody else
 * looks at it. Without TLS (but on this machine itself) a page has no SubtleCrypto, and no CloudFront before it.
 */
export async function withPayloadHash(init: RequestInit): Promise<RequestInit> {
  if (init.method !== 'POST' || !('subtle' in crypto)) return init;
  const body = new TextEncoder().encode(typeof init.body === 'string' ? init.body : '');
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', body));
  const headers = new Headers(init.headers);
  headers.set('x-amz-content-sha256', Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join(''));
  return { ...init, headers };
}
