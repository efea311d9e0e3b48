"use strict";
// Before anything is drawn: the theme that was chosen, and that scripts run.
(function () {
  var root = document.documentElement, wanted = new URLSearchParams(location.search).get("theme");
  try { wanted = wanted || localStorage.getItem("theme"); } catch (_) { /* no storage: the system decides */ }
  if (wanted === "dark" || wanted === "light") root.dataset.theme = wanted;
  root.classList.add("js");
})();
