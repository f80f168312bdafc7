// Signing in: by user and password, or by a share link whose fragment `#t=TOKEN` is swapped for a cookie.
import { ApiError, createSession, deleteSession } from './api';
import { element, show } from './dom';
import { text } from './text';

/** The token of a share link, or null. A fragment never reaches a server or its log by itself. */
export function shareToken(fragment: string): string | null {
  return new URLSearchParams(fragment.replace(/^#/, '')).get('t') || null;
}

/** Swaps the token of a share link for a cookie and takes it out of the address, so that it is in no bookmark or history. */
export async function redeemShareLink(): Promise<boolean> {
  const token = shareToken(location.hash);
  if (!token) return false;
  history.replaceState(null, '', location.pathname + location.search);
  await createSession({ token });
  return true;
}

export class SignInForm {
  private readonly form = element('sign-in', HTMLFormElement);
  private readonly user = element('sign-in-user', HTMLInputElement);
  private readonly password = element('sign-in-password', HTMLInputElement);
  private readonly error = element('sign-in-error', HTMLElement);
  private readonly submit = element('sign-in-submit', HTMLButtonElement);

  constructor(private readonly onSignedIn: () => void) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.signIn();
    });
  }

  open(message = ''): void {
    show(this.form, true);
    this.error.textContent = message;
    (this.user.value ? this.password : this.user).focus();
  }

  close(): void {
    show(this.form, false);
    this.password.value = '';
    this.error.textContent = '';
  }

  private async signIn(): Promise<void> {
    this.submit.disabled = true;
    this.error.textContent = '';
    try {
      await createSession({ user: this.user.value, password: this.password.value });
      this.close();
      this.onSignedIn();
    } catch (error) {
      this.error.textContent = signInErrorText(error);
      this.password.select();
    } finally {
      this.submit.disabled = false;
    }
  }
}

export function signInErrorText(error: unknown): string {
  if (!(error instanceof ApiError)) return String(error);
  if (error.kind === 'unreachable') return text.unreachable;
  if (error.status === 429) return text.tooManyAttempts(error.retryAfter_s);
  return error.kind === 'signed_out' ? text.wrongPassword : error.message;
}

export async function signOut(): Promise<void> {
  await deleteSession();
}
