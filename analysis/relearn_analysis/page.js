"use strict";
(function () {
  var table = document.getElementById("run-table");
  if (!table) return;
  var body = table.tBodies[0], rows = Array.prototype.slice.call(body.rows), heads = table.tHead.rows[0].cells;
  var box = document.getElementById("filter"), shown = document.getElementById("shown");
  function value(row, column) {
    var cell = row.cells[column], given = cell.getAttribute("data-v");
    if (given === null) return cell.textContent;
    return given === "" ? NaN : Number(given);
  }
  function compare(a, b) { /* what has no value goes last, whichever way the column is sorted */
    if (typeof a === "number") return a - b;
    return String(a).localeCompare(String(b), undefined, {numeric: true});
  }
  function empty(v) { return v === "" || (typeof v === "number" && isNaN(v)); }
  function sort(column) {
    var up = heads[column].getAttribute("aria-sort") !== "ascending";
    Array.prototype.forEach.call(heads, function (h) { h.removeAttribute("aria-sort"); });
    heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    rows.sort(function (x, y) {
      var a = value(x, column), b = value(y, column);
      if (empty(a) || empty(b)) return empty(a) - empty(b);
      return up ? compare(a, b) : compare(b, a);
    });
    rows.forEach(function (r) { body.appendChild(r); });
  }
  function matches(row, word) { /* axis=value, or any text of the row */
    var at = word.indexOf("=");
    if (at < 1) return row.textContent.toLowerCase().indexOf(word) >= 0;
    var name = word.slice(0, at), wanted = word.slice(at + 1);
    for (var i = 0; i < heads.length; i++)
      if (heads[i].getAttribute("data-name").toLowerCase() === name) return row.cells[i].textContent.toLowerCase() === wanted;
    return false;
  }
  function filter() {
    var words = box.value.toLowerCase().split(/\s+/).filter(Boolean), count = 0;
    rows.forEach(function (r) {
      var keep = words.every(function (w) { return matches(r, w); });
      r.hidden = !keep;
      count += keep;
    });
    shown.textContent = count === rows.length ? rows.length + " runs" : count + " of " + rows.length + " runs";
  }
  Array.prototype.forEach.call(heads, function (h, i) { h.querySelector("button").addEventListener("click", function () { sort(i); }); });
  box.addEventListener("input", filter);
  document.addEventListener("click", function (e) {
    var link = e.target.closest && e.target.closest("[data-filter]");
    if (!link) return;
    box.value = link.getAttribute("data-filter") === "done" ? "" : link.getAttribute("data-filter");
    filter();
  });
  filter();
})();
