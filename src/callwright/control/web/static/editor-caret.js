"use strict";
// Where things stand in the sheet. While messages stand between its lines, the textarea above it has other places
// for its lines than the coloured copy: then pointer, cursor and selection are those of the copy.
(function () {
  window.Callwright.caret = function (area, copy) {
    var sheet = area.closest(".sheet"), bar = document.createElement("span"), rows = [], spaced = false;
    bar.className = "caret"; bar.hidden = true; copy.parentNode.append(bar);
    var picked = window.Highlight && CSS.highlights ? new Highlight() : null;
    if (picked) CSS.highlights.set("picked", picked);

    function place(index) {
      var before = area.value.slice(0, index), line = before.split("\n").length - 1;
      return { line: line, column: before.length - (before.lastIndexOf("\n") + 1) };
    }
    function indexOf(line, column) {
      var lines = area.value.split("\n"), at = 0;
      for (var n = 0; n < line; n++) at += lines[n].length + 1;
      return at + Math.min(column, lines[line].length);
    }
    /** The text node and offset of a column of a row; a row without text has none. */
    function node(row, column) {
      var walker = document.createTreeWalker(row, NodeFilter.SHOW_TEXT), last = null;
      while (walker.nextNode()) {
        last = walker.currentNode;
        if (column <= last.length) return [last, column];
        column -= last.length;
      }
      return last ? [last, last.length] : null;
    }
    function left(row, column) {
      var at = node(row, column), box = row.getBoundingClientRect();
      if (!at) return box.left;
      var range = document.createRange(); range.setStart(at[0], at[1]); range.collapse(true);
      var rect = range.getClientRects()[0];
      return rect ? rect.left : box.left;
    }
    function under(x, y) {
      var line = rows.length - 1;
      for (var n = 0; n < rows.length; n++) {
        // A message belongs to the line above it.
        var next = rows[n + 1];
        if (!next || y < next.getBoundingClientRect().top) { line = n; break; }
      }
      var low = 0, high = (area.value.split("\n")[line] || "").length;
      while (low < high) {
        var middle = (low + high) >> 1, edge = (left(rows[line], middle) + left(rows[line], middle + 1)) / 2;
        if (x > edge) low = middle + 1; else high = middle;
      }
      return indexOf(line, low);
    }
    function rect(index) {
      var at = place(index), row = rows[at.line];
      if (!row) return null;
      var box = row.getBoundingClientRect(), frame = copy.parentNode.getBoundingClientRect();
      return { x: left(row, at.column) - frame.left + copy.parentNode.scrollLeft, y: box.top - frame.top, height: 21, row: row };
    }
    function draw() {
      if (picked) picked.clear();
      var focused = spaced && document.activeElement === area;
      bar.hidden = true;
      if (!focused) return;
      var from = area.selectionStart, to = area.selectionEnd;
      if (from === to || !picked) {
        var at = rect(from);
        if (!at) return;
        bar.hidden = false; bar.style.left = at.x + "px"; bar.style.top = at.y + "px";
        bar.style.animation = "none"; void bar.offsetWidth; bar.style.animation = "";
        return;
      }
      var a = place(from), b = place(to);
      for (var n = a.line; n <= b.line && rows[n]; n++) {
        var length = (area.value.split("\n")[n] || "").length, start = node(rows[n], n === a.line ? a.column : 0), end = node(rows[n], n === b.line ? b.column : length);
        if (!start || !end) continue;
        var range = document.createRange(); range.setStart(start[0], start[1]); range.setEnd(end[0], end[1]); picked.add(range);
      }
    }

    var anchor = null;
    copy.addEventListener("mousedown", function (event) {
      if (!spaced || event.button !== 0 || event.target.closest("button")) return;
      event.preventDefault();
      area.focus({ preventScroll: true });
      var at = under(event.clientX, event.clientY), text = area.value;
      if (event.detail >= 2) {
        var begin = at, end = at, inside = event.detail === 2 ? /[\w.-]/ : /[^\n]/;
        while (begin > 0 && inside.test(text[begin - 1])) begin--;
        while (end < text.length && inside.test(text[end])) end++;
        area.setSelectionRange(begin, end); draw(); return;
      }
      anchor = event.shiftKey ? (area.selectionStart === at ? area.selectionEnd : area.selectionStart) : at;
      area.setSelectionRange(Math.min(anchor, at), Math.max(anchor, at)); draw();
    });
    addEventListener("mousemove", function (event) {
      if (anchor === null || !(event.buttons & 1)) { anchor = null; return; }
      var at = under(event.clientX, event.clientY);
      area.setSelectionRange(Math.min(anchor, at), Math.max(anchor, at), at < anchor ? "backward" : "forward"); draw();
    });
    addEventListener("mouseup", function () { anchor = null; });
    ["selectionchange", "focusin", "focusout"].forEach(function (name) { document.addEventListener(name, function () { if (spaced) draw(); }); });
    ["keyup", "input", "select", "selectionchange"].forEach(function (name) { area.addEventListener(name, function () { if (spaced) draw(); }); });
    area.addEventListener("keydown", function () {
      if (spaced) setTimeout(function () { draw(); if (!bar.hidden) bar.scrollIntoView({ block: "nearest", inline: "nearest" }); }, 0);
    });

    return {
      rect: rect,
      /** After the copy was painted: its rows, line by line, and whether messages stand between them. */
      painted: function (lines, between) {
        rows = lines; spaced = between;
        sheet.classList.toggle("spaced", spaced);
        draw();
      }
    };
  };
})();
