"use strict";
// What was typed and is not saved, kept in this browser: one draft a tab, test and user, so that two tabs do not
// write over each other.
(function () {
  var PREFIX = "callwright.draft/", KEPT = 30 * 86400e3, tab = "0";
  try {
    tab = sessionStorage.getItem("callwright.tab") || (Date.now().toString(36) + Math.random().toString(36).slice(2, 8));
    sessionStorage.setItem("callwright.tab", tab);
  } catch (_) { /* nothing is kept here */ }

  function all(scope) {
    var found = [];
    try {
      for (var n = 0; n < localStorage.length; n++) {
        var key = localStorage.key(n);
        if (key.indexOf(PREFIX + (scope || "")) !== 0) continue;
        var draft = null;
        try { draft = JSON.parse(localStorage.getItem(key)); } catch (_) { /* not ours */ }
        if (draft && typeof draft.text === "string") found.push(Object.assign(draft, { key: key }));
      }
    } catch (_) { /* no storage */ }
    return found.sort(function (a, b) { return b.at - a.at; });
  }
  function drop(key) { try { localStorage.removeItem(key); } catch (_) { /* no storage */ } }
  all().forEach(function (draft) { if (Date.now() - draft.at > KEPT) drop(draft.key); });

  window.Callwright.drafts = {
    /** Whether it is kept now. */
    keep: function (scope, draft) {
      var text = JSON.stringify(Object.assign({ at: Date.now() }, draft)), key = PREFIX + scope + "/" + tab;
      for (var attempt = 0; attempt < 3; attempt++) {
        try { localStorage.setItem(key, text); return true; } catch (_) {
          var oldest = all().filter(function (d) { return d.key !== key; }).pop();
          if (!oldest) return false;
          drop(oldest.key);
        }
      }
      return false;
    },
    mine: function (scope) { return all(scope + "/").filter(function (d) { return d.key === PREFIX + scope + "/" + tab; })[0] || null; },
    others: function (scope) { return all(scope + "/").filter(function (d) { return d.key !== PREFIX + scope + "/" + tab; }); },
    drop: drop,
    end: function (scope) { drop(PREFIX + scope + "/" + tab); },
    /** What was saved under another name is no draft any more. */
    saved: function (user, text) { all(user + "/").forEach(function (d) { if (d.text === text && !Object.keys(d.pending || {}).length) drop(d.key); }); }
  };
})();
