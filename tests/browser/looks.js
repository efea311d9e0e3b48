// What can be measured of how a page looks; each gives a list of sentences.
({
contrast: () => {
  const canvas = document.createElement("canvas"); canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  function rgba(colour) { pen.clearRect(0, 0, 1, 1); pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
    const d = pen.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; }
  function over(top, below) { const a = top[3]; return [0, 1, 2].map(i => top[i] * a + below[i] * (1 - a)).concat(1); }
  function light(c) { const [r, g, b] = c.slice(0, 3).map(v => { v /= 255; return v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; }
  function ground(element) { const layers = []; for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), rgba(getComputedStyle(document.body).backgroundColor)); }
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, e = node.parentElement;
    if (!node.data.trim() || !e || e.closest("svg, script, style, .vh, [hidden], dialog:not([open]), [disabled], textarea, option, .k-nodata, .uplot")) continue;
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (!box.width || !box.height || style.visibility === "hidden" || style.color === "rgba(0, 0, 0, 0)") continue;
    let opacity = 1; for (let p = e; p; p = p.parentElement) opacity *= Number(getComputedStyle(p).opacity);
    if (opacity < 1) continue;
    const back = ground(e), front = over(rgba(style.color), back);
    const [one, two] = [light(front), light(back)].sort((a, b) => b - a), ratio = (one + .05) / (two + .05);
    if (ratio < 4.495) found.push(`${ratio.toFixed(2)}: ${node.data.trim().slice(0, 40)}`);
  }
  return [...new Set(found)].slice(0, 10);
},

sideways: () => document.documentElement.scrollWidth > innerWidth
  ? [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1
      && !e.closest(".scroll, .text, .tabs, .raw, .code, .vh")).slice(0, 5).map(e => e.outerHTML.slice(0, 120)) : [],

nameless: () => [...document.querySelectorAll("button, a[href], input:not([type=hidden]), select, textarea, summary")]
  .filter(e => e.getClientRects().length && !(e.textContent.trim() || e.getAttribute("aria-label")
      || e.getAttribute("aria-labelledby") || (e.labels && e.labels.length) || e.getAttribute("value")))
  .map(e => e.outerHTML.slice(0, 120)),

structure: () => { const wrong = [];
  if (document.querySelectorAll("h1").length !== 1) wrong.push("there is not one h1");
  if (!document.querySelector("main#main")) wrong.push("no main");
  for (const t of document.querySelectorAll("table")) if (!t.caption) wrong.push("a table without a caption");
  for (const th of document.querySelectorAll("thead th")) if (!th.scope) wrong.push("a column head without a scope");
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id), twice = ids.filter((id, n) => ids.indexOf(id) !== n);
  if (twice.length) wrong.push("ids that are there twice: " + [...new Set(twice)].join(", "));
  for (const e of document.querySelectorAll("[aria-labelledby], [aria-describedby]"))
    for (const id of (e.getAttribute("aria-labelledby") || "").split(" ").concat((e.getAttribute("aria-describedby") || "").split(" ")))
      if (id && !document.getElementById(id)) wrong.push("no element with the id " + id);
  return [...new Set(wrong)]; }
})
