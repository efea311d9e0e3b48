"use strict";
// A run while it goes on. The server says what is new; nothing that stands already is moved.
(function () {
  var box = document.getElementById("live");
  if (!box) return;
  var announce = document.getElementById("announce"), lost = document.getElementById("lost"), elapsed = document.getElementById("elapsed");
  var offset = Number(box.dataset.now) * 1000 - performance.now(), began = Number(box.dataset.began) * 1000;
  function part(name) { return box.querySelector('[data-part="' + name + '"]'); }

  var text = { word: 1, sentence: 1, count: 1 };
  function take(data) {
    var rows = part("rows"), open = document.activeElement;
    Object.keys(text).forEach(function (name) { if (name in data) part(name).textContent = data[name]; });
    ["sofar", "scope", "heads"].forEach(function (name) { if (name in data) part(name).innerHTML = data[name]; });
    if ("lanes" in data) { document.getElementById("livelanes").style.setProperty("--lanes", data.lanes); rows.replaceChildren(); }
    if ("rows" in data) {
      var piece = document.createElement("template");
      piece.innerHTML = data.rows;
      [].forEach.call(piece.content.querySelectorAll("summary, .lrow"), function (row) { row.classList.add("arriving"); });
      // Who reads at the end of the ladder goes on reading there; who has scrolled up is left alone.
      var frame = rows.closest(".ladder"), follows = frame && frame.scrollHeight - frame.scrollTop - frame.clientHeight < 40;
      rows.append(piece.content);
      if (follows) frame.scrollTop = frame.scrollHeight;
    }
    if ("sentence" in data || "word" in data) announce.textContent = part("word").textContent + " " + part("sentence").textContent;
    if (open && open !== document.activeElement && document.contains(open)) open.focus({ preventScroll: true });
  }

  // The page of the finished run is another one: the section that is read now is found again there.
  function keepPlace() {
    var read = [].filter.call(document.querySelectorAll("section[id]"), function (s) { return s.getBoundingClientRect().top < innerHeight / 2; }).pop();
    if (!read || scrollY < 40) return;
    try { sessionStorage.setItem("place", JSON.stringify({ path: location.pathname, id: read.id, top: read.getBoundingClientRect().top })); } catch (_) {}
  }

  var ended = false, source;
  function follow() {
    source = new EventSource(box.dataset.events);
    source.addEventListener("part", function (event) { lost.hidden = true; take(JSON.parse(event.data)); });
    source.addEventListener("end", function () {
      ended = true; source.close();
      announce.textContent = "The run has ended.";
      keepPlace();
      location.reload();
    });
    source.addEventListener("open", function () { lost.hidden = true; });
    source.addEventListener("error", function () {
      if (ended) return;
      lost.hidden = false;
      // A browser comes again after a connection that broke, but not after a 502 of a load balancer.
      if (source.readyState === EventSource.CLOSED) setTimeout(follow, 1000);
    });
  }
  follow();
  addEventListener("pagehide", function () { ended = true; source.close(); });

  setInterval(function () { elapsed.textContent = Math.max(0, Math.round((performance.now() + offset - began) / 1000)) + " s"; }, 1000);
})();
