"use strict";
(function () {
  var root = document.documentElement;
  var wanted = new URLSearchParams(location.search).get("theme");
  if (wanted === "dark" || wanted === "light") root.dataset.theme = wanted;
  root.classList.add("js");

  function all(selector, within) { return [].slice.call((within || document).querySelectorAll(selector)); }
  var wide = matchMedia("(min-width: 1241px)");
  var inspector = document.getElementById("inspect");

  function show(summary, picked) {
    all(".rows summary[aria-current]").forEach(function (other) { other.removeAttribute("aria-current"); });
    summary.setAttribute("aria-current", "true");
    if (picked && history.replaceState) history.replaceState(history.state, "", "#" + summary.closest("li").id);
    var detail = summary.parentNode.querySelector(".detail");
    inspector.replaceChildren.apply(inspector, all(":scope > *", detail).map(function (part) { return part.cloneNode(true); }));
  }
  // Rows may be added while a run goes on, so the list listens, not each row.
  var list = document.querySelector(".rows");
  if (list) {
    list.addEventListener("click", function (event) {
      var summary = event.target.closest("summary");
      if (summary && wide.matches) { event.preventDefault(); show(summary, true); }
    });
    list.addEventListener("keydown", function (event) {
      var summary = event.target.closest("summary");
      var step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
      if (!summary || !step) return;
      var rows = all(".rows summary"), next = rows[rows.indexOf(summary) + step];
      if (next) { event.preventDefault(); next.focus(); if (wide.matches) show(next, true); }
    });
  }
  function goTo(hash) {
    var target = /^#message-\d+$/.test(hash) && document.querySelector(hash + " summary");
    if (!target) return;
    if (wide.matches) show(target); else target.parentNode.open = true;
    target.scrollIntoView({ block: "center" });
    target.focus({ preventScroll: true });
  }
  // The text of a message, as it was on the wire.
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy-raw]");
    if (!button || !navigator.clipboard) return;
    var raw = all(".raw > *", button.closest("header").parentNode).map(function (line) { return line.textContent; }).join("\r\n");
    navigator.clipboard.writeText(raw).then(function () { button.textContent = "Copied"; }, function () { button.textContent = "Not copied"; });
  });

  // After a live page: what was read there stays where it was.
  try {
    var place = JSON.parse(sessionStorage.getItem("place") || "null");
    sessionStorage.removeItem("place");
    var section = place && place.path === location.pathname && document.getElementById(place.id);
    if (section) scrollBy(0, section.getBoundingClientRect().top - place.top);
  } catch (_) { /* a page without storage begins at its top */ }

  var first = document.querySelector(".rows .offend") || document.querySelector(".rows summary");
  if (first) show(first);
  addEventListener("hashchange", function () { goTo(location.hash); });
  goTo(location.hash);

  all("[data-show]").forEach(function (button) {
    button.addEventListener("click", function () {
      all("[data-show]").forEach(function (other) {
        other.setAttribute("aria-pressed", String(other === button));
        document.getElementById(other.dataset.show).hidden = other !== button;
      });
    });
  });

  var theme = document.getElementById("theme");
  if (theme) theme.addEventListener("click", function () {
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // The playhead crosses every lane at one x.
  all("audio[data-start]").forEach(function (audio) {
    audio.addEventListener("play", function () { all("audio").forEach(function (o) { if (o !== audio) o.pause(); }); });
    audio.addEventListener("timeupdate", function () {
      var at = (Number(audio.dataset.start) + audio.currentTime) / Number(audio.dataset.end) * 100;
      all(".moment.head").forEach(function (head) { head.style.left = at + "%"; head.dataset.on = ""; });
    });
  });

  // Picking a place in a lane plays from there.
  var player = document.querySelector("audio[data-start]");
  if (player) all("#time .plot").forEach(function (plot) {
    plot.dataset.seek = "";
    plot.addEventListener("click", function (event) {
      var box = plot.getBoundingClientRect(), playing = all("audio[data-start]").filter(function (a) { return !a.paused; })[0] || player;
      playing.currentTime = Math.max(0, (event.clientX - box.left) / box.width * Number(playing.dataset.end) - Number(playing.dataset.start));
      playing.play();
    });
  });

  // On a phone the summary comes first: what is long and for experts is folded until it is wanted.
  if (matchMedia("(max-width: 860px)").matches) all("details.fold").forEach(function (fold) { if (!location.hash || !fold.querySelector(location.hash)) fold.open = false; });
  all('.tabs.stick a').forEach(function (tab) {
    tab.addEventListener("click", function () { var fold = document.querySelector(tab.hash + " > details.fold"); if (fold) fold.open = true; });
  });

  var tabs = all(".tabs.stick a");
  if ("IntersectionObserver" in window) {
    var seen = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) return;
        tabs.forEach(function (tab) {
          if (tab.hash === "#" + entry.target.id) tab.setAttribute("aria-current", "true"); else tab.removeAttribute("aria-current");
        });
      });
    }, { rootMargin: "-15% 0px -75% 0px" });
    tabs.forEach(function (tab) { var section = document.querySelector(tab.hash); if (section) seen.observe(section); });
  }
})();
