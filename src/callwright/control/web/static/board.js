"use strict";
// The board renews itself; between two answers its durations go on, and a connection that is lost is told.
(function () {
  var clock, lost = null, heard = performance.now();
  function box() { return document.getElementById("board"); }
  function take() { clock = Number(box().dataset.now) * 1000 - performance.now(); }
  function two(n) { return (n < 10 ? "0" : "") + n; }
  function ticking(seconds) {
    var s = Math.max(0, Math.floor(seconds)), m = Math.floor(s / 60), h = Math.floor(m / 60);
    return h ? h + " h " + two(m % 60) + " min" : m ? m + " min " + two(s % 60) + " s" : s + " s";
  }
  function tick() {
    var now = (performance.now() + clock) / 1000;
    box().querySelectorAll("time[data-since]").forEach(function (time) { time.textContent = ticking(now - Number(time.dataset.since)); });
    if (lost !== null) {
      document.getElementById("asof").textContent = "Connection lost, reconnecting. What you see is " + ticking((performance.now() - heard) / 1000) + " old; nothing can be done to calls until then.";
      box().querySelectorAll("[data-act]").forEach(function (button) { button.disabled = true; });
    }
  }
  function ours(event) { return event.detail.elt && event.detail.elt.id === "board"; }
  ["htmx:sendError", "htmx:timeout", "htmx:responseError"].forEach(function (name) {
    document.addEventListener(name, function (event) { if (ours(event) && (!event.detail.xhr || event.detail.xhr.status !== 401)) { lost = true; tick(); } });
  });
  // Text that somebody is about to copy stays where it is.
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.target.id !== "board") return;
    var chosen = getSelection();
    if (!chosen.isCollapsed && event.detail.target.contains(chosen.anchorNode)) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSwap", function () { lost = null; heard = performance.now(); take(); });
  take(); setInterval(tick, 1000);
})();
