"use strict";
// The document is a textarea over a coloured copy of its text. The form beside it is made by the server from the
// same text; a change on either side goes through there, and comes back with what is wrong. Nothing that is typed is
// lost: it waits here until it was answered, and stands in this browser until it is saved.
(function () {
  var cw = window.Callwright, drafts = cw.drafts, form = document.getElementById("editor"), area = document.getElementById("document");
  if (!form || !area) return;
  var copy = document.getElementById("copy"), gutter = document.getElementById("gutter"), fields = document.getElementById("form"), caret = cw.caret(area, copy);
  var user = form.dataset.user, scope = user + "/" + form.dataset.draft, version = form.elements.version, isNew = !version, latest = version ? version.value : "";
  var kept = document.getElementById("kept").content.textContent, problems = JSON.parse(form.dataset.problems), places = JSON.parse(form.dataset.places || "{}"), linked = null, leaving = false, safe = true;

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

  function sideOf(line, side) {
    if (/^<<<<<<< \d+: /.test(line)) return "mine";
    if (/^>>>>>>> \d+: /.test(line)) return "";
    return side === "mine" && /^=======$/.test(line) ? "theirs" : side;
  }

  function paint() {
    var lines = area.value.split("\n"), wrong = {}, range = linked && places[linked], rows = [], numbers = document.createDocumentFragment(), out = document.createDocumentFragment(), side = "";
    problems.forEach(function (p) { if (p.line && p.line <= lines.length) (wrong[p.line] = wrong[p.line] || []).push(p); });
    lines.forEach(function (line, n) {
      var before = side, ps = wrong[n + 1], inside = range && n + 1 >= range[0] && n + 1 <= range[1];
      side = sideOf(line, side);
      var row = element("div", ps ? "wrongline" : side || before ? "side " + (side || before) : inside ? "linked" : "");
      row.append(ps ? underlined(line, ps[0]) : coloured(line));
      rows.push(row); out.append(row); numbers.append(element("i", ps ? "wrongline" : "", String(n + 1)));
      (ps || []).forEach(function (p) {
        var say = element("div", "saywrong", p.message + " "), gap = element("i", "saywrong");
        say.style.width = copy.parentNode.clientWidth + "px";
        if (fixable(p)) { var b = element("button", "btn", "Use " + p.nearest); b.type = "button"; b.tabIndex = -1; b.onclick = function () { fix(p); }; say.append(b); }
        out.append(say); numbers.append(gap);
      });
    });
    copy.replaceChildren(out); gutter.replaceChildren(numbers);
    var gaps = gutter.querySelectorAll(".saywrong");
    copy.querySelectorAll(".saywrong").forEach(function (say, n) { gaps[n].style.height = say.offsetHeight + "px"; });
    document.getElementById("line-count").textContent = String(lines.length - (lines[lines.length - 1] === "" ? 1 : 0));
    area.style.width = Math.max(copy.scrollWidth, copy.parentNode.clientWidth) + "px";
    caret.painted(rows, problems.some(function (p) { return p.line && p.line <= lines.length; }));
  }

  /** Where the wrong word stands; -1: not where the problem says. */
  function wordAt(p) {
    var line = area.value.split("\n")[p.line - 1];
    return line === undefined || !p.key ? -1 : line.indexOf(p.key, Math.max(0, (p.column || 1) - 1));
  }
  function fixable(p) { return !!p.nearest && p.nearest !== p.key && wordAt(p) >= 0 && !area.readOnly; }
  function fix(p) {
    var at = wordAt(p), lines = area.value.split("\n");
    if (at < 0) return;
    lines[p.line - 1] = lines[p.line - 1].slice(0, at) + p.nearest + lines[p.line - 1].slice(at + p.key.length);
    replace(lines.join("\n")); changed(0);
  }

  // -- what is wrong, and what is changed

  function icon(name) {
    var ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), use = document.createElementNS(ns, "use");
    svg.setAttribute("class", "i"); svg.setAttribute("aria-hidden", "true"); use.setAttribute("href", "#i-" + name); svg.append(use); return svg;
  }
  function count(n, one) { return n + " " + one + (n === 1 ? "" : "s"); }

  function put(input, text) {
    if (input.tagName === "SELECT" && ![].some.call(input.options, function (o) { return o.value === text; })) input.add(new Option(text, text));
    input.value = text;
  }
  function dirty() { return area.value !== kept || latest !== (version ? version.value : "") || Object.keys(pending).length > 0; }

  var offline = "";
  function say(refused) {
    var state = document.getElementById("saystate"), box = document.getElementById("problems"), unsaved = dirty();
    if (state) {
      state.replaceChildren();
      if (problems.length) { var bad = element("span", "state failed"); bad.append(icon("failed"), count(problems.length, "error")); state.append(bad, " "); }
      state.append(element("span", "muted", refused || offline || (unsaved ? "Changes are not saved" + (safe ? ", but kept in this browser." : " and cannot be kept in this browser.") : problems.length ? "" : isNew ? "Not saved yet." : "Nothing is changed.")));
    }
    document.querySelectorAll("[data-needs-right]").forEach(function (b) { b.disabled = problems.length > 0; });
    document.querySelectorAll("[data-when-changed]").forEach(function (b) { b.hidden = !unsaved; });
    document.querySelectorAll("[data-run-label]").forEach(function (b) { b.textContent = unsaved ? "Run with the changes" : "Run"; });
    box.hidden = problems.length === 0;
    document.getElementById("problems-head").textContent = problems.length === 1 ? "One problem keeps this from being saved." : problems.length + " problems keep this from being saved.";
    var list = document.getElementById("problems-list");
    list.replaceChildren.apply(list, problems.slice(0, 20).map(function (p) {
      var li = element("li");
      if (p.line) { var a = element("a", "", "Line " + p.line); a.href = "#document"; a.dataset.line = p.line; a.dataset.column = p.column || 1; li.append(a, ": "); }
      li.append(p.message);
      if (fixable(p)) { var b = element("button", "btn", "Use " + p.nearest); b.type = "button"; b.onclick = function () { fix(p); area.focus({ preventScroll: true }); }; li.append(" ", b); }
      return li;
    }));
    var byAddress = {};
    problems.forEach(function (p) { if (p.address && !byAddress[p.address]) byAddress[p.address] = p; });
    fields.querySelectorAll("[data-field]").forEach(function (field) {
      var address = field.dataset.field, input = field.querySelector("[data-address]"), text = field.querySelector(".wrongtext"), own = pending[address] && pending[address].refused;
      var said = field.dataset.condition && (part(field, "metric") ? together(field) : input.value);
      var p = byAddress[address] || (said && problems.filter(function (q) { return q.line && q.key && said.indexOf(q.key) >= 0 && lineOf(q).indexOf(said) >= 0; })[0]);
      var message = own || (p ? p.message : "");
      field.classList.toggle("wrong", !!message);
      text.hidden = !message; text.querySelector("[data-wrong]").textContent = message;
      if (message) { input.setAttribute("aria-invalid", "true"); var more = field.closest("details"); if (more) more.open = true; } else input.removeAttribute("aria-invalid");
      if (document.getElementById(input.id + "-h")) input.setAttribute("aria-describedby", message ? text.id : input.id + "-h");
    });
  }
  function lineOf(p) { return area.value.split("\n")[p.line - 1] || ""; }

  // -- what waits for the server's word: the text itself, and fields that are not in it yet

  var pending = {}, busy = false, unread = false, timer = 0, afterwards = null;

  function store() {
    if (!dirty()) { drafts.end(scope); safe = true; return; }
    safe = drafts.keep(scope, { text: area.value, version: version ? version.value : "", pending: Object.keys(pending).reduce(function (all, a) { all[a] = pending[a].value; return all; }, {}) });
  }
  function next() { return Object.keys(pending).filter(function (a) { return pending[a].done && !pending[a].refused; })[0]; }
  function changed(wait) { unread = true; store(); clearTimeout(timer); timer = setTimeout(work, wait); }

  function work() {
    var address = next();
    if (busy || (!address && !unread)) { finish(); return; }
    var text = area.value, value = address && pending[address].value, body = { document: text };
    if (address) { body.address = address; body.value = value; } else unread = false;
    busy = true;
    cw.post(address ? "/editor/amend" : "/editor/check", body).then(function (data) {
      busy = false; offline = "";
      if (area.value !== text) { unread = true; work(); return; }
      if (address && pending[address] && pending[address].value === value) {
        if (data.refused) pending[address].refused = data.refused; else { delete pending[address]; if (!value) movedUp(address); }
      }
      if (address) replace(data.document);
      take(data); store(); say(data.refused); work();
    }).catch(function (error) {
      busy = false; unread = true;
      offline = error.message === "nobody signed in" ? "You are signed out. What you typed is kept in this browser." : "The platform does not answer. What you typed is kept in this browser.";
      afterwards = null; say("");
      if (error.message !== "nobody signed in") { clearTimeout(timer); timer = setTimeout(work, 3000); }
    });
  }
  // A condition was taken out: those behind it have another number now.
  function movedUp(address) {
    var cut = /^(.*\.)(\d+)$/.exec(address);
    if (!cut || !/^conditions\.|\.expect\./.test(address)) return;
    var moved = {};
    Object.keys(pending).forEach(function (a) {
      var other = /^(.*\.)(\d+)$/.exec(a), later = other && other[1] === cut[1] && Number(other[2]) > Number(cut[2]);
      moved[later ? cut[1] + (Number(other[2]) - 1) : a] = pending[a];
    });
    pending = moved;
  }
  // Somebody pressed a button while a field was still on its way into the document.
  function finish() {
    if (!afterwards || busy) return;
    var by = afterwards, refused = Object.keys(pending).filter(function (a) { return pending[a].refused; });
    afterwards = null;
    if (refused.length) { say("A field holds a value that is not in the document yet."); return; }
    if (problems.length && by.hasAttribute("data-needs-right")) return;
    form.requestSubmit(by);
  }

  function take(data) {
    problems = data.problems; places = data.places;
    if (data.form !== null) renew(data.form);
    else if (Object.keys(data.stands).length) fields.querySelectorAll("[data-address]").forEach(function (input) {
      var address = input.dataset.address;
      if (input.type === "password" || pending[address] || input === document.activeElement || input.closest("[data-condition]")) return;
      put(input, data.stands[address] === undefined ? "" : data.stands[address]);
    });
    paint(); say("");
  }

  // The form anew, with what was open left open and the cursor where it was.
  function renew(html) {
    var open = [].map.call(fields.querySelectorAll("details[open]"), function (d) { return d.closest("[data-group]").dataset.group; });
    var active = document.activeElement, at = fields.contains(active) ? active.id : null, from = null, to = null;
    if (at && active.selectionStart !== undefined) { from = active.selectionStart; to = active.selectionEnd; }
    fields.innerHTML = html;
    Object.keys(pending).forEach(function (address) {
      var input = fields.querySelector('[data-address="' + address + '"]');
      if (input) put(input, pending[address].value);
    });
    prepare();
    open.forEach(function (group) { var d = fields.querySelector('[data-group="' + group + '"] details'); if (d) d.open = true; });
    var again = at && document.getElementById(at);
    if (again) {
      var more = again.closest("details"); if (more) more.open = true;
      again.focus({ preventScroll: true });
      try { if (from !== null) again.setSelectionRange(from, to); } catch (_) { /* a list has no cursor */ }
    }
  }

  function prepare() {
    fields.querySelectorAll("[data-values]").forEach(function (input) { cw.listed(input); });
  }

  area.addEventListener("input", function () { paint(); changed(300); say(""); });

  function typed(target, done) {
    var row = target.closest("[data-condition]"), address = target.dataset.address, value = target.value;
    if (row && row.dataset.condition) {
      address = row.dataset.condition;
      if (target.dataset.part) value = together(row);
      if (done && target.dataset.part === "metric") operators(row);
    }
    if (!address) return;
    pending[address] = { value: value, done: done && !(row && !value.trim()) };
    store();
    if (pending[address].done) { clearTimeout(timer); work(); }
  }
  fields.addEventListener("input", function (event) { if (event.target.tagName === "INPUT") typed(event.target, false); });
  fields.addEventListener("change", function (event) { typed(event.target, true); });

  // A condition in four parts as the line of text that it is; nothing while a part is missing.
  function part(row, name) { return row.querySelector('[data-part="' + name + '"]'); }
  function together(row) {
    var metric = part(row, "metric").value, operator = part(row, "operator").value, value = part(row, "value").value.trim(), who = part(row, "who").value;
    if (!metric || !operator || (!value && !/^(present|absent)$/.test(operator))) return "";
    return ((who ? who + "." : "") + metric + " " + operator + " " + value).trim();
  }
  function operators(row) {
    var select = part(row, "operator"), known = words && words.metrics[part(row, "metric").value];
    if (!known) return;
    var was = select.value;
    select.replaceChildren.apply(select, known.operators.map(function (o) { return new Option(o, o); }));
    select.value = known.operators.indexOf(was) >= 0 ? was : known.operators.indexOf(">=") >= 0 ? ">=" : known.operators[0];
  }
  fields.addEventListener("click", function (event) {
    var button = event.target.closest("[data-remove]");
    if (!button) return;
    pending[button.dataset.remove] = { value: "", done: true };
    store(); work();
  });

  // Enter takes the value over; it must not send the form, whose first button starts a run.
  fields.addEventListener("keydown", function (event) {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
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
    if (!active || active === document.body) area.blur();
    else if (active !== area) active.focus({ preventScroll: true });
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
      if (!save || save.disabled) return;
      if (fields.contains(document.activeElement)) document.activeElement.blur();
      form.requestSubmit(save);
    }
  });
  form.addEventListener("submit", function (event) {
    if ("sure" in form.dataset) return;
    Object.keys(pending).forEach(function (a) { if (pending[a].value || !/^conditions\.|\.expect\./.test(a)) pending[a].done = true; });
    if (!busy && !next()) return;
    event.preventDefault(); event.stopPropagation();
    afterwards = event.submitter || document.getElementById("save"); work();
  });
  document.querySelectorAll("[data-discard]").forEach(function (a) { a.addEventListener("click", function () { leaving = true; drafts.end(scope); }); });
  form.addEventListener("formdata", function () { leaving = true; });
  addEventListener("beforeunload", function (event) { store(); if (!leaving && !safe && dirty()) event.preventDefault(); });
  addEventListener("resize", paint);

  // -- two changes that met: a side of each place is taken, or both

  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-keep]");
    if (!button) return;
    var n = button.dataset.collision, which = button.dataset.keep, found = new RegExp("^<<<<<<< " + n + ": .*\\n([^]*?)^=======\\n([^]*?)^>>>>>>> " + n + ": .*(?:\\n|$)", "m").exec(area.value);
    if (!found) return;
    var text = which === "mine" ? found[1] : which === "theirs" ? found[2] : found[1] + found[2];
    replace(area.value.slice(0, found.index) + text + area.value.slice(found.index + found[0].length));
    button.closest("[data-meets]").remove(); changed(0); paint();
  });

  // -- drafts: what was typed before, here or under another tab

  function notice(text, choices) {
    var box = document.getElementById("draft");
    box.querySelector("span").textContent = text; box.hidden = false;
    box.querySelector(".actions").replaceChildren.apply(box.querySelector(".actions"), choices.map(function (choice) {
      var b = element("button", "btn", choice[0]); b.type = "button";
      b.onclick = function () { box.hidden = true; choice[1](); }; return b;
    }));
  }
  function when(at) { return new Date(at).toLocaleString("en-GB", { hour: "2-digit", minute: "2-digit", day: "numeric", month: "short" }); }
  function restore(draft) {
    var old = version && draft.version && draft.version !== latest;
    Object.keys(draft.pending || {}).forEach(function (a) { pending[a] = { value: draft.pending[a], done: true }; });
    if (version && draft.version) version.value = draft.version;
    replace(draft.text); renewFields(); changed(0); paint(); say("");
    var discard = ["Discard them", function () { pending = {}; if (version) version.value = latest; replace(kept); drafts.end(scope); renewFields(); changed(0); paint(); say(""); }];
    if (old) notice("Your changes of " + when(draft.at) + " are back. They began from version " + draft.version + "; the test is now at version " + latest + ". Saving puts both together.", [["Put them together now", function () { form.requestSubmit(document.getElementById("merge")); }], discard]);
    else notice("Your changes of " + when(draft.at) + ", which are not saved, are back.", [discard]);
  }
  function renewFields() { Object.keys(pending).forEach(function (a) { var input = fields.querySelector('[data-address="' + a + '"]'); if (input) put(input, pending[a].value); }); }

  var words = null;
  fetch("/editor/words", { credentials: "same-origin" }).then(function (answer) { return answer.ok ? answer.json() : null; }).then(function (found) {
    if (found) { words = found; cw.words(area, caret, words); }
  }).catch(function () { /* there is no completion then */ });

  if (!isNew) drafts.saved(user, kept);
  paint(); prepare(); say("");
  if (form.dataset.dirty === "1") store();
  else {
    var mine = drafts.mine(scope), other = drafts.others(scope).filter(function (d) { return d.text !== area.value; })[0];
    if (mine && (mine.text !== area.value || Object.keys(mine.pending || {}).length)) restore(mine);
    else if (other) notice("This browser keeps changes of " + when(other.at) + " from another window, which are not saved.", [
      ["Bring them back", function () { drafts.drop(other.key); restore(other); }], ["Discard them", function () { drafts.drop(other.key); }]]);
  }
})();
