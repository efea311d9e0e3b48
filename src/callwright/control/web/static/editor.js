"use strict";
// The document is a textarea over a coloured copy of its text. The form beside it is made by the server from the
// same text; a change on either side goes through there, and comes back with what is wrong.
(function () {
  var form = document.getElementById("editor"), area = document.getElementById("document");
  var copy = document.getElementById("copy"), gutter = document.getElementById("gutter"), fields = document.getElementById("form");
  var saved = form.dataset.dirty === "1" ? null : area.value, problems = [], places = JSON.parse(form.dataset.places || "{}"), linked = null, asked = 0, leaving = false;
  var csrf = document.querySelector("meta[name=csrf]").content, isNew = !form.elements.version;

  document.querySelectorAll("#problems-list [data-line]").forEach(function (a) {
    problems.push({ line: Number(a.dataset.line), column: Number(a.dataset.column), message: a.parentNode.textContent.replace(/^Line \d+: /, "") });
  });

  function element(name, kind, text) { var e = document.createElement(name); if (kind) e.className = kind; if (text) e.append(text); return e; }

  // -- colours

  function coloured(line) {
    var out = document.createDocumentFragment(), rest = line, key;
    function put(kind, text) { if (text) out.append(kind ? element("span", kind, text) : text); }
    var comment = /^(\s*)(#.*)$/.exec(rest);
    if (comment) { put("", comment[1]); put("c", comment[2]); return out; }
    var dashes = /^(\s*(?:- )*)/.exec(rest)[1];
    put("", dashes); rest = rest.slice(dashes.length);
    while (rest) {
      if ((key = /^([A-Za-z_][\w.-]*)(:)(?=\s|$)/.exec(rest))) { put("k", key[1] + key[2]); rest = rest.slice(key[0].length); }
      else if ((key = /^("(?:[^"\\]|\\.)*"?|'[^']*'?)/.exec(rest))) { put("s", key[0]); rest = rest.slice(key[0].length); }
      else if ((key = /^(\s#.*)$/.exec(rest))) { put("c", key[0]); rest = ""; }
      else if ((key = /^([{,[]\s*)/.exec(rest)) || (key = /^([^\s"'{},[\]]+|\s+|[}\]])/.exec(rest))) {
        put(/^\d+(\.\d+)?(%|s|ms)?$/.test(key[0]) ? "n" : "", key[0]); rest = rest.slice(key[0].length);
      } else { put("", rest[0]); rest = rest.slice(1); }
    }
    return out;
  }

  function underlined(line, problem) {
    var at = Math.max(0, problem.column - 1), word = problem.key && line.indexOf(problem.key, at) === at ? problem.key : (/^[^\s,\]}]+/.exec(line.slice(at)) || [""])[0];
    if (!word) return coloured(line);
    var out = document.createDocumentFragment();
    out.append(coloured(line.slice(0, at)), element("u", "", word), coloured(line.slice(at + word.length)));
    return out;
  }

  function paint() {
    var lines = area.value.split("\n"), wrong = {}, range = linked && places[linked];
    problems.forEach(function (p) { if (p.line && !wrong[p.line]) wrong[p.line] = p; });
    var rows = document.createDocumentFragment(), numbers = document.createDocumentFragment();
    lines.forEach(function (line, n) {
      var p = wrong[n + 1], inside = range && n + 1 >= range[0] && n + 1 <= range[1];
      var row = element("div", p ? "wrongline" : inside ? "linked" : "");
      row.append(p ? underlined(line, p) : coloured(line));
      if (p) row.append(element("span", "say", p.message));
      rows.append(row);
      numbers.append(element("i", p ? "wrongline" : "", String(n + 1)));
    });
    copy.replaceChildren(rows); gutter.replaceChildren(numbers);
    document.getElementById("line-count").textContent = String(lines.length - (lines[lines.length - 1] === "" ? 1 : 0));
    area.style.width = Math.max(copy.scrollWidth, copy.parentNode.clientWidth) + "px";
  }

  // -- what is wrong, and what is changed

  function icon(name) {
    var ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), use = document.createElementNS(ns, "use");
    svg.setAttribute("class", "i"); svg.setAttribute("aria-hidden", "true"); use.setAttribute("href", "#i-" + name); svg.append(use); return svg;
  }
  function count(n, one) { return n + " " + one + (n === 1 ? "" : "s"); }

  // A field whose value is wrong shows what stands in the document.
  function wrongly(input, text) {
    if (input.tagName === "SELECT" && ![].some.call(input.options, function (o) { return o.value === text; })) input.add(new Option(text, text));
    input.value = text;
  }

  function say(refused) {
    var state = document.getElementById("saystate"), dirty = area.value !== saved, box = document.getElementById("problems");
    if (state) {
      state.replaceChildren();
      if (problems.length) { var bad = element("span", "state failed"); bad.append(icon("failed"), count(problems.length, "error")); state.append(bad, " "); }
      state.append(element("span", "muted", refused || (problems.length ? (dirty ? "Changes are not saved." : "") : dirty ? "Changes are not saved." : isNew ? "Not saved yet." : "Nothing is changed.")));
    }
    document.querySelectorAll("[data-needs-right]").forEach(function (b) { b.disabled = problems.length > 0; });
    box.hidden = problems.length === 0;
    document.getElementById("problems-head").textContent = problems.length === 1 ? "One thing stands in the way of saving." : problems.length + " things stand in the way of saving.";
    document.getElementById("problems-list").replaceChildren.apply(document.getElementById("problems-list"), problems.slice(0, 20).map(function (p) {
      var li = element("li");
      if (p.line) { var a = element("a", "", "Line " + p.line); a.href = "#document"; a.dataset.line = p.line; a.dataset.column = p.column || 1; li.append(a, ": "); }
      li.append(p.message); return li;
    }));
    var byAddress = {};
    problems.forEach(function (p) { if (p.address) byAddress[p.address] = p; });
    fields.querySelectorAll("[data-field]").forEach(function (field) {
      var p = byAddress[field.dataset.field], input = field.querySelector("[data-address]"), text = field.querySelector(".wrongtext");
      field.classList.toggle("wrong", !!p);
      text.hidden = !p; text.querySelector("[data-wrong]").textContent = p ? p.message : "";
      if (p && p.key && input !== document.activeElement) wrongly(input, p.key);
      if (p) { input.setAttribute("aria-invalid", "true"); var more = field.closest("details"); if (more) more.open = true; } else input.removeAttribute("aria-invalid");
      input.setAttribute("aria-describedby", p ? text.id : input.id + "-h");
    });
  }

  // -- the server's word

  function ask(path, more, then) {
    var mine = ++asked, body = new URLSearchParams(Object.assign({ document: area.value }, more));
    fetch(path, { method: "POST", body: body, headers: { "X-CSRF-Token": csrf }, credentials: "same-origin" }).then(function (answer) {
      if (answer.status === 401) { leaving = true; location.reload(); }
      if (!answer.ok) throw new Error(String(answer.status));
      return answer.json();
    }).then(function (data) { if (mine === asked) then(data); }).catch(function () {
      if (mine === asked) say("The platform does not answer; what you typed is still here.");
    });
  }

  function take(data) {
    problems = data.problems; places = data.places;
    if (data.form !== null) renew(data.form);
    paint(); say(data.refused);
  }

  // The form anew, with what was open left open and the cursor where it was.
  function renew(html) {
    var open = [].map.call(fields.querySelectorAll("details[open]"), function (d) { return d.closest("[data-group]").dataset.group; });
    var active = document.activeElement, at = fields.contains(active) ? active.id : null, from = null, to = null;
    if (at && active.selectionStart !== undefined) { from = active.selectionStart; to = active.selectionEnd; }
    fields.innerHTML = html;
    open.forEach(function (group) { var d = fields.querySelector('[data-group="' + group + '"] details'); if (d) d.open = true; });
    var again = at && document.getElementById(at);
    if (again) {
      var more = again.closest("details"); if (more) more.open = true;
      again.focus({ preventScroll: true });
      try { if (from !== null) again.setSelectionRange(from, to); } catch (_) { /* a list has no cursor */ }
    }
  }

  var timer = 0;
  area.addEventListener("input", function () {
    paint(); clearTimeout(timer); ++asked;
    timer = setTimeout(function () { ask("/editor/check", {}, take); }, 300);
  });

  fields.addEventListener("change", function (event) {
    var address = event.target.dataset.address;
    if (!address) return;
    clearTimeout(timer);
    ask("/editor/amend", { address: address, value: event.target.value }, function (data) {
      replace(data.document); take(data);
    });
  });

  // Enter takes the value over; it must not send the form, whose first button starts a run.
  fields.addEventListener("keydown", function (event) {
    if (event.key !== "Enter" || !event.target.dataset.address || event.target.tagName !== "INPUT") return;
    event.preventDefault();
    event.target.blur(); event.target.focus({ preventScroll: true });
  });

  // Only what differs is put in, by the browser's own editing, so that undo brings it back.
  function replace(text) {
    var old = area.value;
    if (text === old) return;
    var start = 0, end = 0, active = document.activeElement, top = scrollY;
    while (start < old.length && start < text.length && old[start] === text[start]) start++;
    while (end < old.length - start && end < text.length - start && old[old.length - 1 - end] === text[text.length - 1 - end]) end++;
    area.focus({ preventScroll: true });
    area.setSelectionRange(start, old.length - end);
    var piece = text.slice(start, text.length - end);
    var quiet = function (event) { event.stopImmediatePropagation(); };
    area.addEventListener("input", quiet, true);
    if (!document.execCommand(piece ? "insertText" : "delete", false, piece) || area.value !== text) area.value = text;
    area.removeEventListener("input", quiet, true);
    if (active && active !== area) active.focus({ preventScroll: true });
    scrollTo(scrollX, top);
  }

  // -- from one side to the other

  fields.addEventListener("focusin", function (event) {
    var group = event.target.closest("[data-group]"), now = group ? group.dataset.group : null;
    if (now !== linked) { linked = now; paint(); }
  });
  area.addEventListener("focus", function () { if (linked) { linked = null; paint(); } });

  document.addEventListener("click", function (event) {
    var link = event.target.closest("[data-line]");
    if (!link) return;
    event.preventDefault();
    var lines = area.value.split("\n"), at = 0;
    for (var n = 0; n < Number(link.dataset.line) - 1 && n < lines.length; n++) at += lines[n].length + 1;
    at += Math.max(0, Number(link.dataset.column) - 1);
    area.focus({ preventScroll: true }); area.setSelectionRange(at, at);
    var row = copy.children[Number(link.dataset.line) - 1];
    if (row) row.scrollIntoView({ block: "center" });
  });

  addEventListener("keydown", function (event) {
    if ((event.ctrlKey || event.metaKey) && event.key === "s") {
      event.preventDefault();
      var save = document.getElementById("save");
      if (save && !save.disabled) { leaving = true; form.requestSubmit(save); }
    }
  });
  form.addEventListener("submit", function () { leaving = true; });
  var discard = document.querySelector("[data-discard]");
  if (discard) discard.addEventListener("click", function () { leaving = true; });
  addEventListener("beforeunload", function (event) { if (!leaving && area.value !== saved) event.preventDefault(); });
  addEventListener("resize", paint);
  paint(); say("");
})();
