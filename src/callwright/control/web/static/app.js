"use strict";
(function () {
  var root = document.documentElement, cw = window.Callwright = {};
  function meta() { return document.querySelector("meta[name=csrf]"); }
  cw.csrf = function () { return meta() ? meta().content : ""; };
  function renew(token) {
    if (meta()) meta().content = token;
    document.querySelectorAll("input[name=_csrf]").forEach(function (input) { input.value = token; });
  }

  // -- signed out meanwhile: a dialog over the page, so that nothing that was typed is lost

  var signing = null, refused = false;
  /** A promise that somebody is signed in again; it fails when the dialog is closed. */
  cw.signIn = function () {
    if (signing) return signing;
    var dialog = document.getElementById("signin"), made = document.getElementById("signin-dialog");
    if (!dialog && made) { document.body.append(made.content.cloneNode(true)); dialog = document.getElementById("signin"); }
    if (!dialog || !dialog.showModal) { location.reload(); return new Promise(function () {}); }
    var form = dialog.querySelector("form"), problem = dialog.querySelector("[data-problem]"), before = document.activeElement;
    var code = form.querySelector("[data-code]"), nonce = "";
    function ask(given) { nonce = given; code.hidden = !given; form.elements.code.required = !!given; }
    signing = new Promise(function (done, fail) {
      function end(well) {
        removeEventListener("focus", look); form.onsubmit = null; dialog.onclose = null; signing = null; refused = !well;
        if (dialog.open) dialog.close();
        form.reset(); problem.hidden = true; ask("");
        if (before && document.contains(before)) before.focus({ preventScroll: true });
        if (well) done(); else fail(new Error("nobody signed in"));
      }
      // Somebody may have signed in under another tab.
      function look() { session().then(function (well) { if (well && signing) end(true); }, function () {}); }
      form.onsubmit = function (event) {
        event.preventDefault();
        var fields = new URLSearchParams(nonce ? { nonce: nonce, code: form.elements.code.value } : new FormData(form));
        fetch(nonce ? "/login/code" : "/login", { method: "POST", body: fields, headers: { Accept: "application/json" }, credentials: "same-origin" })
          .then(function (answer) { return answer.json().then(function (data) {
            if (answer.status === 202) { ask(data.nonce); problem.hidden = true; form.elements.code.focus(); return; }
            if (answer.ok) { renew(data.csrf); end(true); return; }
            if (answer.status === 410) ask("");
            problem.querySelector("span").textContent = data.message; problem.hidden = false; form.elements[nonce ? "code" : "password"].select();
          }); }).catch(function () { problem.querySelector("span").textContent = "The platform does not answer. Try again."; problem.hidden = false; });
      };
      dialog.onclose = function () { end(false); };
      addEventListener("focus", look);
    });
    dialog.showModal();
    return signing;
  };

  /** Whether somebody is signed in; fails when the platform does not answer. */
  function session() {
    return fetch("/session", { credentials: "same-origin", cache: "no-store" }).then(function (answer) {
      if (answer.status === 401) return false;
      if (!answer.ok) throw new Error(String(answer.status));
      return answer.json().then(function (data) { renew(data.csrf); return true; });
    });
  }

  /** POSTs fields and gives what came as JSON; signs in first where that is needed. */
  cw.post = function (path, fields) {
    function once() { return fetch(path, { method: "POST", body: new URLSearchParams(fields), headers: { "X-CSRF-Token": cw.csrf() }, credentials: "same-origin" }); }
    return once().then(function (answer) {
      if (answer.status === 401) return cw.signIn().then(once);
      if (answer.status === 403) return session().then(function (well) { return well ? once() : cw.signIn().then(once); });
      return answer;
    }).then(function (answer) { if (!answer.ok) throw new Error(String(answer.status)); return answer.json(); });
  };

  // Every form that changes something asks first whether it would be heard. The answer is waited for, since a form
  // that is let go goes at once, and one that is held back would have to be sent by script.
  document.addEventListener("submit", function (event) {
    var form = event.target, by = event.submitter;
    if (form.method !== "post" || event.defaultPrevented || !cw.csrf()) return;
    if ("sure" in form.dataset) { delete form.dataset.sure; return; }
    var asked = new XMLHttpRequest(), status = 0;
    try {
      asked.open("GET", "/session", false); asked.send(); status = asked.status;
      if (status === 200) { renew(JSON.parse(asked.responseText).csrf); return; }
    } catch (_) { /* the platform does not answer */ }
    event.preventDefault();
    if (status !== 401) { cw.tell("The platform does not answer. Nothing was sent, and what you typed is still here."); return; }
    cw.signIn().then(function () { form.dataset.sure = ""; form.requestSubmit(by && by.form === form ? by : null); }, function () { /* not now */ });
  });

  /** A sentence that stays until it is closed. */
  cw.tell = function (text) {
    var box = document.querySelector(".toast.alert") || document.createElement("div");
    box.className = "toast alert"; box.setAttribute("role", "alert");
    var close = document.createElement("button");
    close.type = "button"; close.className = "btn plain"; close.textContent = "Close"; close.onclick = function () { box.remove(); };
    box.replaceChildren(text, close); document.body.append(box);
  };

  document.addEventListener("htmx:configRequest", function (event) { event.detail.headers["X-CSRF-Token"] = cw.csrf(); });
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.xhr.status !== 401) return;
    event.detail.shouldSwap = false;
    // A page that renews itself asks once; whoever closed the dialog is asked again when they do something.
    if (!refused || event.detail.requestConfig.triggeringEvent) cw.signIn().catch(function () {});
  });

  // A list that renews itself waits while somebody chooses in it.
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.target.querySelector && event.detail.target.querySelector("[form=compare]:checked") && !event.detail.requestConfig.triggeringEvent) event.detail.shouldSwap = false;
  });
  // A page that renews itself waits while a dialog or a form in it is open.
  document.addEventListener("htmx:beforeSwap", function (event) {
    var target = event.detail.target;
    if (target.matches && target.matches("[data-waits-while-open]") && target.querySelector("dialog[open], details[open]")) event.detail.shouldSwap = false;
  });
  // A table that renews itself keeps its rows where they are; new ones come at its end.
  document.addEventListener("htmx:beforeSwap", function (event) {
    var old = event.detail.target;
    if (!old.matches || !old.matches("table[data-keeps-rows]") || !event.detail.shouldSwap) return;
    var answer = new DOMParser().parseFromString(event.detail.serverResponse, "text/html"), table = answer.getElementById(old.id);
    if (!table || !table.tBodies.length || !old.tBodies.length) return;
    var kept = [].map.call(old.tBodies[0].rows, function (row) { return answer.getElementById(row.id); }).filter(Boolean);
    table.tBodies[0].prepend.apply(table.tBodies[0], kept);
    event.detail.serverResponse = answer.documentElement.outerHTML;
  });
  document.addEventListener("change", function (event) {
    if (event.target.getAttribute("form") !== "compare") return;
    var chosen = document.querySelectorAll("[form=compare]:checked");
    if (chosen.length > 2) [].forEach.call(chosen, function (box) { if (box !== event.target && chosen.length-- > 2) box.checked = false; });
  });

  document.addEventListener("click", function (event) {
    var button = event.target.closest("button, a");
    if (!button) return;
    if (button.dataset.dialog) {
      var dialog = document.getElementById(button.dataset.dialog);
      if (dialog && dialog.showModal) { event.preventDefault(); dialog.showModal(); }
    } else if ("close" in button.dataset) {
      button.closest("dialog").close();
    } else if ("themeSwitch" in button.dataset) {
      var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch (_) { /* it lasts as long as the page */ }
      dispatchEvent(new Event("themechange"));
    } else if ("copy" in button.dataset) {
      copy(button);
    } else if (button.dataset.row) {
      var row = document.getElementById(button.dataset.row), opener = document.querySelector('[aria-controls="' + row.id + '"]');
      row.hidden = !row.hidden; opener.setAttribute("aria-expanded", String(!row.hidden));
      (row.hidden ? opener : row.querySelector("input:not([type=hidden])")).focus();
    } else if (button.dataset.show) {
      button.parentNode.querySelectorAll("[data-show]").forEach(function (other) {
        var on = other === button, shown = document.getElementById(other.dataset.show);
        other.setAttribute("aria-pressed", String(on)); if (shown) shown.hidden = !on;
      });
    }
  });

  function copy(button) {
    var text = button.parentNode.querySelector("[data-copy-text]");
    if (!text) return;
    var done = function () {
      var say = document.createElement("span");
      say.className = "tiny quiet"; say.setAttribute("role", "status"); say.textContent = " Copied";
      button.after(say); setTimeout(function () { say.remove(); }, 3000);
    };
    if (navigator.clipboard && isSecureContext) navigator.clipboard.writeText(text.textContent).then(done);
    else { getSelection().selectAllChildren(text); if (document.execCommand("copy")) done(); }
  }

  var menu = document.querySelector(".topbar details");
  addEventListener("keydown", function (event) {
    if (event.key === "Escape" && menu && menu.open) { menu.open = false; menu.querySelector("summary").focus(); }
  });

  var toast = document.querySelector("[data-toast]");
  if (toast) {
    setTimeout(function () { toast.remove(); }, 6000);
    history.replaceState(null, "", location.pathname + location.search.replace(/([?&])did=[^&]*&?/, "$1").replace(/[?&]$/, "") + location.hash);
  }
})();
