// Before the first paint: the theme that was chosen here, if one was. Without it the system's is used.
try {
  const theme = localStorage.getItem('riverflow.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // Storage is blocked: the system's theme it is.
}
document.documentElement.classList.add('js');
