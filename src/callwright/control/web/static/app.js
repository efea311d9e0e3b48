"use strict";
(function () {
  var root = document.documentElement;
  function csrf() { var meta = document.querySelector("meta[name=csrf]"); return meta ? meta.content : ""; }

  document.addEventListener("htmx:configRequest", function (event) { event.detail.headers["X-CSRF-Token"] = csrf(); });
  // Signed out meanwhile: show the page that says so, in place of a piece of it.
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.xhr.status === 401) { event.detail.shouldSwap = false; location.reload(); }
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
