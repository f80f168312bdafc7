// Keys that control the player from anywhere in the page, except where they are typed.

export interface KeyActions {
  togglePlay(): void;
  skip(seconds: number): void;
  step(frames: number): void;
}

const kSkip_s = 10;

export function bindKeys(actions: KeyActions): void {
  document.addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (usesKey(event.composedPath()[0] ?? null, event.key)) return;
    const action = keyAction(event.key, actions);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function keyAction(key: string, actions: KeyActions): (() => void) | null {
  switch (key) {
    case ' ':
      return () => actions.togglePlay();
    case 'ArrowLeft':
      return () => actions.skip(-kSkip_s);
    case 'ArrowRight':
      return () => actions.skip(kSkip_s);
    case ',':
      return () => actions.step(-1);
    case '.':
      return () => actions.step(1);
    default:
      return null;
  }
}

/** Fields take every key; space presses a button; arrows move the sliders and menus of Video.js. */
function usesKey(target: EventTarget | null, key: string): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest('input, select, textarea')) return true;
  if (key === ' ') return target.closest('button, a, [role="button"]') !== null;
  return target.closest('.vjs-control-bar [role="slider"], .vjs-menu') !== null;
}
