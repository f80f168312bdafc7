import type { Camera } from './api';
import { element } from './dom';
import { offSite } from './offsite';
import { text } from './text';

/** One button a camera, with its state as a dot and in words. */
export class CameraList {
  private readonly list = element('cameras', HTMLElement);
  private shown = '';

  constructor(private readonly onChoose: (name: string) => void) {}

  update(cameras: readonly Camera[], chosen: string | null): void {
    // Unchanged buttons stay, and keep the focus.
    const now = Date.now();
    const shown = cameras.map((camera) => [camera.name, camera.state, camera.bitrate_bps, offSite(camera, now)]);
    const key = JSON.stringify([shown, chosen]);
    if (key === this.shown) return;
    this.shown = key;
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset['camera'] : undefined;
    const buttons = cameras.map((camera) => this.button(camera, camera.name === chosen));
    this.list.replaceChildren(...buttons);
    if (focused !== undefined) buttons.find((button) => button.dataset['camera'] === focused)?.focus();
  }

  private button(camera: Camera, chosen: boolean): HTMLButtonElement {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'camera';
    button.dataset['camera'] = camera.name;
    button.dataset['state'] = camera.state;
    button.setAttribute('aria-pressed', String(chosen));
    const name = document.createElement('span');
    name.className = 'camera-name';
    name.textContent = camera.name;
    const state = document.createElement('span');
    state.className = 'camera-state';
    state.textContent = describe(camera);
    button.append(name, state);
    const copies = offSite(camera, Date.now());
    if (copies !== null) {
      const line = document.createElement('span');
      line.className = 'camera-offsite';
      line.dataset['late'] = String(copies.late);
      line.textContent = copies.words;
      button.append(line);
    }
    button.addEventListener('click', () => this.onChoose(camera.name));
    return button;
  }
}

function describe(camera: Camera): string {
  const parts = [text.cameraState[camera.state]];
  if (camera.state === 'recording') {
    if (camera.width > 0) parts.push(`${camera.width}×${camera.height}`);
    if (camera.bitrate_bps > 0) parts.push(text.bitrate(camera.bitrate_bps));
  }
  return parts.join(' · ');
}
