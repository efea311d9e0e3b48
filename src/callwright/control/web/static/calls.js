"use strict";
// The form of a filter offers what fits its property; the chart counts anew at once; folded calls unfold.
(function () {
  var property = document.getElementById("f-property"), operator = document.getElementById("f-operator"), value = document.getElementById("f-value");
  function fit() {
    var permitted = property.selectedOptions[0].dataset.operators.split(" ");
    [].forEach.call(operator.options, function (option) { option.hidden = option.disabled = permitted.indexOf(option.value) < 0; });
    if (operator.selectedOptions[0].disabled) operator.value = permitted[0];
    value.disabled = operator.value === "known" || operator.value === "unknown";
  }
  if (property) { property.addEventListener("change", fit); operator.addEventListener("change", fit); fit(); }
  var grouping = document.getElementById("grouping");
  if (grouping) grouping.addEventListener("change", function () { grouping.requestSubmit(); });
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-unfold]");
    if (!button) return;
    document.getElementById(button.dataset.unfold).classList.remove("folded");
    button.closest("tbody").remove();
  });
})();
