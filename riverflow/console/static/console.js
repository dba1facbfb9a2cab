// What makes the pages quicker to use. Every page works without: this only saves reloads and reaches.
// Markup comes from this server's own templates alone, through one Trusted Types policy.

import { patch } from './patch.js';

const root = document.documentElement;
const all = (selector, from = document) => [...from.querySelectorAll(selector)];
const one = (selector, from = document) => from.querySelector(selector);
const writing = (element) => element?.closest?.('input, textarea, select, [contenteditable]');
const policy = globalThis.trustedTypes?.createPolicy('riverflow', { createHTML: (text) => text });

// Theme: the system's until another is chosen; the choice is kept here, on this machine.

function isDark() {
  const chosen = root.dataset.theme;
  return chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
}

function turnTheme() {
  const theme = isDark() ? 'light' : 'dark';
  root.dataset.theme = theme;
  try {
    localStorage.setItem('riverflow.theme', theme);
  } catch {
    // Storage is blocked: it holds for this page.
  }
}

// Copying: from an element named by the button, or from the page's own text.

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  await navigator.clipboard.writeText(source?.dataset.text ?? source?.textContent ?? button.dataset.text);
  button.classList.add('copied');
  announce('Copied');
  setTimeout(() => button.classList.remove('copied'), 1500);
}

function announce(text) {
  const place = document.getElementById('announce');
  if (place) place.textContent = text;
}

// Tabs: without script their panels stand one below the other. A live page may bring new ones.

const tabsOf = (list) => all('[role=tab]', list);

function showTab(list, chosen) {
  for (const button of tabsOf(list)) {
    const on = button === chosen;
    button.setAttribute('aria-selected', on);
    button.tabIndex = on ? 0 : -1;
    document.getElementById(button.getAttribute('aria-controls')).hidden = !on;
  }
  list.hidden = false;
}

function settleTabs() {
  for (const list of all('[role=tablist]')) {
    const buttons = tabsOf(list);
    showTab(list, buttons.find((button) => button.getAttribute('aria-selected') === 'true') ?? buttons[0]);
  }
}

document.addEventListener('click', (event) => {
  const button = event.target.closest('[role=tab]');
  if (button) showTab(button.closest('[role=tablist]'), button);
});

document.addEventListener('keydown', (event) => {
  const list = event.target.closest('[role=tablist]');
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!list || !step) return;
  const buttons = tabsOf(list);
  const next = buttons[(buttons.indexOf(document.activeElement) + step + buttons.length) % buttons.length];
  next.focus();
  showTab(list, next);
});

// Keys: `g` and a letter goes somewhere, `/` searches, j and k walk a list, `?` tells of all this.

let went = -Infinity; // when `g` was pressed; not 0, which is when the page was opened

function walk(step) {
  const rows = all('.rows tbody tr');
  if (!rows.length) return;
  const at = rows.findIndex((row) => row.classList.contains('at'));
  const next = rows[Math.max(0, Math.min(rows.length - 1, at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step))];
  rows[at]?.classList.remove('at');
  next.classList.add('at');
  one('a', next)?.focus({ preventScroll: true });
  next.scrollIntoView({ block: 'nearest' });
}

const acts = {
  '/': () => one('[data-search]')?.focus(),
  '?': () => one('#keys')?.showModal(),
  j: () => walk(1),
  k: () => walk(-1),
  t: turnTheme,
  n: () => one('[data-new]')?.click(),
  '[': () => one('[rel=prev]')?.click(),
  ']': () => one('[rel=next]')?.click(),
};

document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) event.target.closest('form[data-send]')?.requestSubmit();
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === 'Escape') {
    if (writing(event.target)) event.target.blur();
    for (const menu of all('details.menu[open]')) menu.open = false;
    return;
  }
  if (writing(event.target) || one('dialog[open]')) return;
  if (performance.now() - went < 1200) {
    went = -Infinity;
    const link = one(`[data-go="${CSS.escape(event.key)}"]`);
    if (link) {
      event.preventDefault();
      link.click();
      return;
    }
  }
  if (event.key === 'g') {
    went = performance.now();
    return;
  }
  const reached = one(`[data-reach="${CSS.escape(event.key)}"]`);
  if (reached) {
    event.preventDefault();
    reached.focus();
    return;
  }
  const act = acts[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});

document.addEventListener('click', (event) => {
  const target = event.target.closest('[data-copy], [data-theme-turn], [data-keys], [data-close], [data-row-add]');
  for (const menu of all('details.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
  if (!target) return;
  if ('copy' in target.dataset) copy(target);
  else if ('themeTurn' in target.dataset) turnTheme();
  else if ('keys' in target.dataset) one('#keys').showModal();
  else if ('close' in target.dataset) target.closest('dialog').close();
});

// Forms: what filters is sent when it is chosen, and what is typed with Enter: who goes on to the next field is not done.

document.addEventListener('change', (event) => {
  const every = event.target.closest('[data-all]');
  if (every) for (const box of all(`input[name="${every.dataset.all}"]`, every.form)) box.checked = every.checked;
  if (event.target.matches('form[data-auto] select')) event.target.form.requestSubmit();
});

// Times: the server says UTC; here they are also in the reader's own zone, on hover.

function localTimes(from = document) {
  for (const time of all('time[datetime]', from)) {
    if (!time.title) time.title = `${new Date(time.dateTime).toLocaleString()} (your time)`;
  }
}

// Live: the server says that something has changed, and the page is asked for anew; only what differs is touched.

class Live {
  constructor(sign) {
    this.sign = sign;
    this.url = sign.dataset.live;
    this.busy = this.again = false;
    document.addEventListener('visibilitychange', () => (document.hidden ? this.stop() : this.start()));
    this.start();
  }

  // What happened between the page and its stream, or while that was broken, is looked for when it opens.
  start() {
    if (this.source || document.hidden) return;
    this.source = new EventSource(this.url);
    this.source.addEventListener('open', () => {
      this.show('on');
      this.look();
    });
    this.source.addEventListener('error', () => this.show('off'));
    this.source.addEventListener('changed', () => this.look());
  }

  stop() {
    this.source?.close();
    this.source = undefined;
    this.show('off');
  }

  show(state) {
    this.sign.dataset.state = state;
    this.sign.textContent = state === 'on' ? 'Live' : 'Not live';
  }

  async look() {
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      const answer = await fetch(location.href, { headers: { 'X-Riverflow-Live': '1' }, cache: 'no-store' });
      if (answer.status === 403 || answer.status === 401) location.reload();
      if (answer.ok) take(await answer.text(), '[data-part]');
    } catch {
      // The stream says by itself that the server is gone.
    } finally {
      this.busy = false;
      if (this.again) {
        this.again = false;
        this.look();
      }
    }
  }

}

// The parts of this page that a fresh one brings. A part that names a state, with a form in it, is left alone until that
// is another: what somebody types there is his. (`part.id` of a form with a field called `id` is that field.)
function take(text, parts) {
  const page = new DOMParser().parseFromString(policy ? policy.createHTML(text) : text, 'text/html');
  for (const part of all(parts)) {
    const fresh = page.getElementById(part.getAttribute('id'));
    if (fresh && !(part.dataset.part && part.dataset.part === fresh.dataset.part)) patch(part, document.adoptNode(fresh));
  }
  localTimes();
  settleTabs();
}

// A form with a preview: what follows from it is shown while it is filled in.

let pause;
let asked = 0;

async function preview(form) {
  const turn = ++asked;
  try {
    const answer = await fetch(form.dataset.preview, { method: 'POST', body: new URLSearchParams(new FormData(form)) });
    const text = await answer.text();
    if (answer.ok && turn === asked) take(text, '[data-preview-part]');
  } catch {
    // It is only a preview.
  }
}

document.addEventListener('input', (event) => {
  const form = event.target.closest('form[data-preview]');
  if (!form) return;
  clearTimeout(pause);
  pause = setTimeout(() => preview(form), 250);
});

localTimes();
settleTabs();
const sign = one('[data-live]');
if (sign) new Live(sign);
