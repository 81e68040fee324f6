(function () {
  "use strict";

  function specOf(place) {
    var spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
    spec.config.legend.columns = place.clientWidth < 560 ? 1 : 4;
    spec.config.axisY = { labelLimit: place.clientWidth < 560 ? 110 : 220 };
    return spec;
  }

  function draw(place) {
    return window.vegaEmbed(place, specOf(place), {
      actions: false,
      ast: true,
      defaultStyle: false,
      logLevel: 1,
      mode: "vega-lite",
      renderer: "svg",
      tooltip: { disableDefaultStyle: true },
    });
  }

  function failed(place, error) {
    document.body.dataset.failed = String(error);
    place.textContent = "This picture could not be drawn; its numbers are in the table below.";
    place.parentElement.querySelector("details").open = true;
    throw error;
  }

  function drawAll() {
    var places = Array.from(document.querySelectorAll(".plot"));
    Promise.all(places.map(function (place) {
      return draw(place).catch(function (error) { failed(place, error); });
    })).then(
      function () { document.body.dataset.ok = String(places.length); },
      function () {}
    );
  }

  function compare(a, b) {
    if (a.v !== null && b.v !== null) { return a.v - b.v; }
    if (a.v !== null || b.v !== null) { return a.v !== null ? -1 : 1; }
    return a.text.localeCompare(b.text);
  }

  function keyOf(row, column) {
    var cell = row.cells[column];
    return { row: row, text: cell.textContent, v: cell.dataset.v ? Number(cell.dataset.v) : null };
  }

  function sort(head) {
    var body = head.closest("table").tBodies[0];
    var down = head.getAttribute("aria-sort") === "descending";
    head.parentElement.querySelectorAll("th").forEach(function (th) { th.removeAttribute("aria-sort"); });
    head.setAttribute("aria-sort", down ? "ascending" : "descending");
    var keys = Array.from(body.rows).map(function (row) { return keyOf(row, head.cellIndex); });
    keys.sort(function (a, b) { return down ? compare(a, b) : compare(b, a); });
    keys.forEach(function (key) { body.appendChild(key.row); });
  }

  function follow() {
    var links = new Map(Array.from(document.querySelectorAll("nav a")).map(function (link) {
      return [link.getAttribute("href").slice(1), link];
    }));
    var watcher = new IntersectionObserver(function (entries) {
      entries.forEach(function (entry) {
        if (!entry.isIntersecting) { return; }
        links.forEach(function (link) { link.removeAttribute("aria-current"); });
        links.get(entry.target.id).setAttribute("aria-current", "true");
      });
    }, { rootMargin: "-10% 0px -80% 0px" });
    document.querySelectorAll(".page").forEach(function (page) { watcher.observe(page); });
  }

  document.querySelectorAll("table.sortable th button").forEach(function (button) {
    button.addEventListener("click", function () { sort(button.parentElement); });
  });
  follow();
  drawAll();
})();
