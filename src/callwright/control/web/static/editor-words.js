"use strict";
// Completion: what may stand where the cursor is. Ctrl and Space opens it, typing opens it where there are values to
// choose from; arrows choose, Enter or Tab takes, Escape closes.
(function () {
  var cw = window.Callwright;
  function element(name, kind, text) { var e = document.createElement(name); if (kind) e.className = kind; if (text) e.append(text); return e; }

  // -- what may stand here: a list of [word, help], and how many characters before the cursor they replace

  function partiesOf(text) {
    var block = /^parties:[^\n]*\n((?:[ \t]+[^\n]*\n|\s*\n)*)/m.exec(text + "\n"), found = [], one, inline = /^parties:\s*[[{]([^\n]*)/m.exec(text);
    var source = block ? block[1] : "", names = /^ {1,4}([A-Za-z][\w-]*):/gm;
    while ((one = names.exec(source))) found.push(one[1]);
    if (inline) (inline[1].match(/[A-Za-z][\w-]*(?=\s*[:,\]}])/g) || []).forEach(function (name) { found.push(name); });
    return found;
  }
  function pairs(record) { return Object.keys(record).map(function (name) { return [name, record[name].help || record[name] || ""]; }); }

  function inCondition(words, before, parties) {
    var who = /^(.*?)(?:(caller|callee|[A-Za-z][\w-]*)\.)?([a-z_.]*)$/.exec(before), operator = /^([\w.-]+?)\s+(\S*)$/.exec(before), value = /^([\w.-]+?)(?:\s+[^=<>~!]*?)?\s*(not in|in|ordered|has|lacks|>=|<=|!=|!~|=|<|>|~)\s*\[?(?:[^[\],]*,)*\s*([^\s,[\]]*)$/.exec(before);
    function metric(name) { var last = name; while (last && !words.metrics[last]) last = last.indexOf(".") < 0 ? "" : last.slice(last.indexOf(".") + 1); return words.metrics[last]; }
    if (value) { var known = metric(value[1]); return known ? { items: known.values.map(function (v) { return [v, ""]; }), length: value[3].length } : null; }
    if (operator) { var of = metric(operator[1]); return of ? { items: of.operators.map(function (o) { return [o, ""]; }), length: operator[2].length } : null; }
    if (who && !/\s/.test(before)) {
      var items = pairs(words.metrics).concat(pairs(words.load));
      if (before.indexOf(".") < 0) items = ["caller", "callee"].concat(parties).map(function (p) { return [p + ".", "of " + p]; }).concat(items);
      return { items: items, length: before.indexOf(".") < 0 ? before.length : who[3].length };
    }
    return null;
  }

  function context(words, text, at) {
    var start = text.lastIndexOf("\n", at - 1) + 1, line = text.slice(start, at), above = text.slice(0, start), parties = partiesOf(text);
    if (/^\s*#/.test(line)) return null;
    var sections = above.match(/^[a-z_]+(?=:)/gm), section = sections ? sections[sections.length - 1] : "", opened = /^([a-z_]+):\s*[{]/.exec(line);
    if (opened) section = opened[1];
    var expecting = /\bexpect:\s*\[?[^\n]*$/.exec(line) || (/^\s*- [^-{]/.test(line) && /\bexpect:\s*\n(?:\s+- [^\n]*\n)*$/.test(above));
    if ((section === "conditions" && /^\s+- /.test(line)) || expecting) {
      var said = /(?:expect:\s*\[?(?:.*,)?\s*|^\s*- )(.*)$/.exec(line);
      return said ? inCondition(words, said[1], parties) : null;
    }
    var kinds = Object.keys(words.actions), kind = null, named = new RegExp("(?:^|[-{\\s])(" + kinds.join("|") + ")(?=\\s*:|\\s*$)", "gm"), one;
    var scope = section === "steps" ? above.slice(above.lastIndexOf("\nsteps:") + 1) + line : "";
    while ((one = named.exec(scope))) kind = one[1];
    var keys = section === "steps" ? kind && words.actions[kind] : section === "parties" ? words.party : (words.blocks || {})[section] || null;
    if (/^\S*$/.test(line) || /^[a-z_]+:\s*[^\s]*$/.test(line)) keys = words.document;
    var value = /([A-Za-z_][\w]*):\s+(?:[[]\s*)?((?:[^\s,{}[\]:]+\s*,\s*)*)([^\s,{}[\]:]*)$/.exec(line) || /([A-Za-z_][\w]*):\s*[[]((?:[^,{}[\]]+,\s*)*)\s*([^\s,{}[\]:]*)$/.exec(line);
    if (value && keys) {
      var name = (kind && section === "steps" && words.aliases[kind][value[1]]) || value[1], spec = keys[name];
      if (!spec) return null;
      var values = spec.values;
      if (name === "credentials") values = words.accounts;
      else if (spec.type === "party" || (spec.type === "destination" && section === "steps")) values = parties;
      return { items: values.map(function (v) { return [v, ""]; }), length: value[3].length };
    }
    var key = /(?:^\s*(?:- )*|[{,]\s*)([a-z_]*)$/.exec(line);
    if (!key) return null;
    if (/^[a-z_]*$/.test(line)) return { items: words.heads.concat(Object.keys(words.document)).map(function (h) { return [h + ":", (words.document[h] || {}).help || ""]; }), length: key[1].length };
    if (section === "steps" && /^\s*(- )+[{]?\s*[a-z_]*$/.test(line)) return { items: kinds.map(function (k) { return [k + ":", ""]; }), length: key[1].length };
    return keys ? { items: Object.keys(keys).map(function (k) { return [k + ": ", keys[k].help]; }), length: key[1].length } : null;
  }

  // -- the list

  var list = element("ul", "words"), shown = [], chosen = -1, owner = null, length = 0;
  list.id = "words"; list.setAttribute("role", "listbox"); list.setAttribute("aria-label", "Permitted here"); list.hidden = true;

  function close() {
    if (owner) { owner.removeAttribute("aria-activedescendant"); owner.setAttribute("aria-expanded", "false"); }
    list.hidden = true; shown = []; chosen = -1; owner = null;
  }
  function choose(n) {
    chosen = (n + shown.length) % shown.length;
    [].forEach.call(list.children, function (li, i) { li.setAttribute("aria-selected", String(i === chosen)); });
    var li = list.children[chosen]; li.scrollIntoView({ block: "nearest" }); owner.setAttribute("aria-activedescendant", li.id);
  }
  function open(field, found, place, all) {
    var typed = field.value.slice(field.selectionStart - found.length, field.selectionStart).toLowerCase();
    var fits = found.items.filter(function (item) { return item[0].toLowerCase().indexOf(typed) === 0; });
    if (!fits.length && !all) fits = found.items.filter(function (item) { return typed.length > 1 && item[0].toLowerCase().indexOf(typed) > 0; });
    if (!fits.length || (fits.length === 1 && fits[0][0].toLowerCase() === typed)) { close(); return; }
    shown = fits.slice(0, 40); length = found.length; owner = field;
    list.replaceChildren.apply(list, shown.map(function (item, n) {
      var li = element("li"); li.id = "word-" + n; li.setAttribute("role", "option"); li.append(element("code", "", item[0].trim()));
      if (item[1]) li.append(element("span", "", item[1])); li.setAttribute("aria-selected", "false"); return li;
    }));
    place(list); list.hidden = false; chosen = -1;
    field.setAttribute("aria-controls", "words"); field.setAttribute("aria-expanded", "true");
    if (all) choose(0);
  }
  function take(n) {
    var field = owner, word = shown[n][0], at = field.selectionStart, left = length;
    close();
    field.focus({ preventScroll: true }); field.setSelectionRange(at - left, at);
    if (!document.execCommand("insertText", false, word)) field.setRangeText(word, at - left, at, "end");
    if (/[.:]\s?$/.test(word)) field.dispatchEvent(new Event("words"));
  }
  list.addEventListener("mousedown", function (event) {
    event.preventDefault();
    var li = event.target.closest("li"); if (li) take([].indexOf.call(list.children, li));
  });

  function keys(field, look) {
    field.setAttribute("aria-autocomplete", "list");
    field.addEventListener("keydown", function (event) {
      if (event.key === " " && event.ctrlKey) { event.preventDefault(); look(true); return; }
      if (owner !== field) return;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); choose(chosen < 0 && event.key === "ArrowUp" ? -1 : chosen + (event.key === "ArrowDown" ? 1 : -1)); }
      else if ((event.key === "Enter" && chosen >= 0) || (event.key === "Tab" && !event.shiftKey)) { event.preventDefault(); event.stopImmediatePropagation(); take(Math.max(0, chosen)); }
      else if (event.key === "Escape") { event.preventDefault(); event.stopImmediatePropagation(); close(); }
      else if (event.key === "ArrowLeft" || event.key === "ArrowRight" || event.key === "Home" || event.key === "End") close();
    }, true);
    field.addEventListener("blur", close);
    field.addEventListener("input", function (event) { if (event.isTrusted && event.inputType && event.inputType.indexOf("insert") === 0) look(false); else if (event.isTrusted) close(); });
    field.addEventListener("words", function () { look(true); });
    field.addEventListener("mousedown", close);
  }

  /** For the document: what may stand at its cursor. */
  cw.words = function (area, caret, words) {
    area.closest(".sheet").querySelector(".text").append(list);
    function look(all) {
      var at = area.selectionStart, found = area.selectionEnd === at && !area.readOnly ? context(words, area.value, at) : null;
      if (!found || !found.items.length || (!all && !found.length)) { close(); return; }
      open(area, found, function (box) {
        var here = caret.rect(at - found.length);
        area.closest(".sheet").querySelector(".text").append(box);
        box.style.left = Math.max(0, here ? here.x : 0) + "px"; box.style.top = (here ? here.y + here.height + 2 : 0) + "px";
      }, all);
    }
    keys(area, look);
  };
  /** For a field that takes a list: its permitted values. */
  cw.listed = function (input) {
    var values = input.dataset.values.split(",");
    keys(input, function (all) {
      var typed = /[^,]*$/.exec(input.value.slice(0, input.selectionStart))[0].replace(/^\s+/, "");
      if (!all && !typed) { close(); return; }
      var there = input.value.split(",").map(function (v) { return v.trim().toLowerCase(); });
      open(input, { items: values.filter(function (v) { return there.indexOf(v.toLowerCase()) < 0 || v.toLowerCase() === typed.toLowerCase(); }).map(function (v) { return [v, ""]; }), length: typed.length }, function (box) {
        input.parentNode.append(box); box.style.left = "0"; box.style.top = input.offsetTop + input.offsetHeight + 2 + "px";
      }, all);
    });
  };
})();
