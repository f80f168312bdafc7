/** The element of index.html with this id; a wrong id or type is a mistake in the page itself. */
export function element<T extends Element>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} with the id ${id}`);
  return found;
}

export function show(target: HTMLElement, visible: boolean): void {
  target.hidden = !visible;
}
