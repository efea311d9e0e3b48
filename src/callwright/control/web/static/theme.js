"use strict";
// Before anything is drawn: the theme that was chosen, and that scripts run.
(function () {
  var root = document.documentElement, wanted = new URLSearchParams(location.search).get("theme");
  try { wanted = wanted || localStorage.getItem("theme"); } catch (_) { /* no storage: the system decides */ }
  if (wanted === "dark" || wanted === "light") root.dataset.theme = wanted;
  root.classList.add("js");
  // Who has to sign in first comes back to the very message that was linked.
  addEventListener("DOMContentLoaded", function () {
    var form = document.querySelector(".door form[action='/login']");
    if (form && /^#[\w-]+$/.test(location.hash)) form.action = "/login" + location.hash;
  });
})();
