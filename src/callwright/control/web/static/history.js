"use strict";
// The overview's history: drawn on a canvas with the colours of the page, drawn again when the theme changes.
(function () {
  var drawn = [];
  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim(); }
  function tip(box) { var t = box.querySelector(".tip"); if (!t) { t = document.createElement("div"); t.className = "tip"; t.setAttribute("aria-hidden", "true"); box.append(t); } return t; }
  function when(seconds) { return new Date(seconds * 1000).toISOString().slice(5, 16).replace("T", " "); }

  function steps(long) { return long ? [86400, 2 * 86400, 5 * 86400, 10 * 86400] : [3600, 2 * 3600, 3 * 3600, 6 * 3600, 12 * 3600]; }
  function label(seconds, long) {
    var date = new Date(seconds * 1000);
    if (!long) return date.toISOString().slice(11, 16);
    return date.getUTCDate() + " " + date.toLocaleString("en", { month: "short", timeZone: "UTC" });
  }
  function axes(values) {
    var font = "11.5px " + getComputedStyle(document.body).fontFamily, ink = colour("ink-3"), grid = { stroke: colour("grid"), width: 1 };
    return [{ font: font, stroke: ink, grid: { show: false }, space: 64, incrs: steps(values.long), values: function (u, at) { return at.map(function (s) { return label(s, values.long); }); }, ticks: { stroke: colour("line-strong"), width: 1, size: 4 }, size: 26, gap: 4 },
      { font: font, stroke: ink, grid: grid, ticks: { show: false }, size: 40, gap: 6, values: values.y }];
  }
  function shown(values) { return values.map(function (v) { return v === 0 ? null : v; }); }
  function bars(box, data) {
    var step = data.step, x = data.start.map(function (s) { return s + step / 2; });
    var down = data.failed.map(function (f, n) { return -(f + data.other[n]); });
    var failed = data.failed.map(function (f) { return -f; });
    var most = Math.max(1, Math.max.apply(null, data.passed)), least = Math.min(0, Math.min.apply(null, down));
    var path = uPlot.paths.bars({ size: [0.82, 40], align: 0 });
    var t = tip(box);
    return new uPlot({
      width: box.clientWidth, height: 150, tzDate: function (ts) { return uPlot.tzDate(new Date(ts * 1000), "UTC"); },
      legend: { show: false }, cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: { x: { range: [data.start[0], data.start[data.start.length - 1] + step] }, y: { range: [least, most] } },
      axes: axes({ long: step > 3600, y: function (u, ticks) { return ticks.map(function (v) { return Number.isInteger(v) ? Math.abs(v) : ""; }); } }),
      hooks: { setCursor: [function (u) { var i = u.cursor.idx; t.textContent = i == null ? "" : when(data.start[i]) + " UTC: " + data.passed[i] + " passed, " + data.failed[i] + " failed" + (data.other[i] ? ", " + data.other[i] + " not measured" : ""); }] },
      series: [{}, { fill: colour("passed") + "66", stroke: colour("passed"), width: 0, paths: path, points: { show: false } },
        { fill: colour("error"), stroke: colour("error"), width: 0, paths: path, points: { show: false } },
        { fill: colour("failed"), stroke: colour("failed"), width: 0, paths: path, points: { show: false } }]
    }, [x, shown(data.passed), shown(down), shown(failed)], box);
  }
  function mos(box, data) {
    var step = data.step, x = data.start.map(function (s) { return s + step / 2; }), t = tip(box);
    return new uPlot({
      width: box.clientWidth, height: 150, tzDate: function (ts) { return uPlot.tzDate(new Date(ts * 1000), "UTC"); },
      legend: { show: false }, cursor: { y: false, drag: { x: false, y: false } },
      scales: { x: { range: [data.start[0], data.start[data.start.length - 1] + step] }, y: { range: [1, 4.5] } },
      axes: axes({ long: step > 3600 }), hooks: { setCursor: [function (u) { var i = u.cursor.idx; t.textContent = i == null ? "" : when(data.start[i]) + " UTC: " + (data.mos[i] == null ? "no data" : "MOS " + data.mos[i].toFixed(2)); }] },
      bands: [{ series: [3, 2], fill: colour("ink") + "1c" }],
      series: [{}, { stroke: colour("ink"), width: 1.5, spanGaps: false, points: { show: true, size: 5, fill: colour("ink"), stroke: colour("ink") } },
        { stroke: colour("ink") + "30", width: 1, points: { show: false } }, { stroke: colour("ink") + "30", width: 1, points: { show: false } }]
    }, [x, data.mos, data.low, data.high], box);
  }
  function draw() {
    drawn.forEach(function (plot) { plot.destroy(); }); drawn = [];
    document.querySelectorAll("[data-plot]").forEach(function (box) {
      var data = JSON.parse(box.dataset.series);
      if (!data.start.length) return;
      drawn.push((box.dataset.plot === "runs" ? bars : mos)(box, data));
    });
  }
  var width = 0;
  addEventListener("resize", function () { if (innerWidth !== width) { width = innerWidth; draw(); } });
  addEventListener("themechange", draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  // The page renews its figures; the charts go with them, unless somebody is pointing at one or reads the table.
  document.addEventListener("htmx:beforeSwap", function (event) {
    var now = document.getElementById("now");
    if (now && now.contains(event.detail.target) && (now.querySelector(".plotbox:hover, details[open]") || now.contains(document.activeElement))) event.detail.shouldSwap = false;
  });
  document.addEventListener("htmx:afterSwap", draw);
  draw();
})();
