// Makes one element look like another while touching as little as possible: what is open stays open, what is focused
// or selected stays so. Children are matched by id or data-key, else by place.

export function patch(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || old.nodeType !== Node.ELEMENT_NODE) {
    old.replaceWith(fresh);
    return;
  }
  if (old.matches('[data-live]')) {
    old.hidden = fresh.hidden;
    return;
  }
  attributes(old, fresh);
  if (old.matches('input, textarea, select') && old === document.activeElement) return;
  children(old, fresh);
}

function attributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !kept(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !kept(old, name)) old.setAttribute(name, value);
  }
}

// What the reader has opened, chosen or walked to is his.
function kept(element, name) {
  if (name === 'open') return element.matches('details');
  if (name === 'hidden' || name === 'aria-selected' || name === 'tabindex') return element.matches('[role=tablist], [role=tab], [role=tabpanel]');
  if (name === 'title') return element.matches('time');
  return name === 'class' && element.matches('tr.at, .copied');
}

// Not `node.id`: of a form with a field called `id` that is the field.
function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? (node.dataset.key ?? (node.getAttribute('id') || undefined)) : undefined;
}

function children(old, fresh) {
  const keyed = new Map();
  for (const child of old.childNodes) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  // What is gone goes first, and the blanks before what stays: who is moved loses the focus.
  const stays = new Set([...fresh.childNodes].map(keyOf));
  for (const [key, child] of keyed) if (!stays.has(key)) child.remove();
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = keyOf(next);
    const match = key ? keyed.get(key) : at && !keyOf(at) ? at : undefined;
    if (!match) {
      old.insertBefore(next, at);
      if (key && next.matches('tr')) next.classList.add('fresh');
      continue;
    }
    while (key && at && at.nodeType === Node.TEXT_NODE) {
      const blank = at;
      at = at.nextSibling;
      blank.remove();
    }
    if (match !== at) old.insertBefore(match, at);
    else at = at.nextSibling;
    patch(match, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}
