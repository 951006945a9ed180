// Conveniences: without this script the page shows all that it has, in the order of the run.
"use strict";
(() => {
  const root = document.documentElement;
  const THEME = "patchcore-theme";

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // Theme: that of the system until the reader chooses one, which is remembered

  function isDark() {
    return (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  }

  function addThemeButton() {
    const button = element("button", { type: "button", className: "theme" });
    const label = () => { button.textContent = isDark() ? "Light theme" : "Dark theme"; };
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem(THEME, root.dataset.theme); } catch { /* a browser may refuse to remember */ }
      label();
      redrawCharts();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { label(); redrawCharts(); });
    label();
    document.querySelector(".top").append(button);
  }

  // Tables: sorted by a column's button, filtered by words

  const BY_WORD = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  // A cell's number, where its column is one of numbers, or else its text; null where it has none.
  function valueOf(cell, isNumber) {
    if (isNumber) return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
    const text = cell.textContent.trim();
    return ["", "-", "not available"].includes(text) ? null : text;
  }

  // Ascending order; what has no value comes last in either direction.
  function compare(first, second, direction) {
    if (first === null || second === null) return (first === null) - (second === null);
    return direction * (typeof first === "number" ? first - second : BY_WORD.compare(first, second));
  }

  function equip(table) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const summaries = original.filter((row) => row.classList.contains("summary"));
    const others = original.filter((row) => !summaries.includes(row));
    const headings = [...table.tHead.rows[0].cells];
    const status = element("output", { ariaLive: "polite" });
    const filter = element("input", { type: "search", id: `filter-${table.id}`, autocomplete: "off" });
    const label = element("label", { htmlFor: filter.id }, "Filter ");
    let said = "";

    const say = () => {
      const visible = original.filter((row) => !row.hidden).length;
      const count = visible === original.length ? `${visible} rows` : `${visible} of ${original.length} rows`;
      status.textContent = count + said;
    };

    filter.addEventListener("input", () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of original) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      say();
    });

    headings.forEach((heading, column) => {
      const button = element("button", { type: "button", className: "sort" }, ...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const next = { none: "ascending", ascending: "descending", descending: "none" };
        const order = next[heading.getAttribute("aria-sort") || "none"];
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        let sorted = others;
        if (order !== "none") {
          heading.setAttribute("aria-sort", order);
          const direction = order === "ascending" ? 1 : -1;
          const isNumber = heading.classList.contains("number");
          const value = (row) => valueOf(row.cells[column], isNumber);
          sorted = [...others].sort((one, two) => compare(value(one), value(two), direction));
        }
        body.append(...sorted, ...summaries);
        said = order === "none" ? "" : `, ${order} by ${button.textContent.trim().replace(/\s+/g, " ")}`;
        say();
      });
    });

    const tools = document.querySelector(`[data-tools="${table.id}"]`);
    tools.prepend(label, filter, status);
    say();
  }

  // Charts: the library is unpacked when the first one is opened

  const COLOURS = ["#4477c4", "#e07b39", "#2a9d6f", "#c44e77", "#8a6fd1", "#9a6b4b", "#d58bc5", "#8c8c8c", "#a8a032", "#3fa7c4"];
  const opened = new Map(); // figure -> its chart
  let library;

  function unpack() {
    library ??= (async () => {
      const packed = atob(document.getElementById("plotly").textContent.trim());
      const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
      const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
      document.head.append(element("script", { textContent: await new Response(stream).text() }));
    })();
    return library;
  }

  // Series stand side by side at a category: a point hidden by another could not be told from one that is missing.
  function traces(chart, metric) {
    const places = categories(metric);
    return metric.series.map((series, number) => {
      const aside = ((number + 0.5) / metric.series.length - 0.5) * 0.8;
      const colour = COLOURS[number % COLOURS.length];
      const spread = series.spread.some(Boolean);
      return {
        name: series.name,
        x: chart.numbers ? series.x : series.x.map((name) => places.indexOf(name) + aside),
        y: series.y,
        text: series.x,
        error_y: { array: series.spread, visible: spread, thickness: 1.5, width: 3 },
        mode: chart.numbers ? "lines+markers" : "markers",
        marker: { size: 8, color: colour, symbol: number < COLOURS.length ? "circle" : "diamond" },
        line: { color: colour },
        visible: /^(control-|blurred)/.test(series.name) ? "legendonly" : true, // else they flatten all others
        hovertemplate: `%{text}: %{y:.1f}${spread ? " ± %{error_y.array:.1f}" : ""}<extra>${series.name}</extra>`,
      };
    });
  }

  function categories(metric) {
    return [...new Set(metric.series.flatMap((series) => series.x))];
  }

  function layout(chart, metric) {
    const style = getComputedStyle(document.body);
    const colour = (name) => {
      const probe = element("i", { style: `color: var(--${name})` });
      document.body.append(probe);
      const found = getComputedStyle(probe).color;
      probe.remove();
      return found;
    };
    const grid = { gridcolor: colour("line"), zeroline: false, automargin: true };
    const places = categories(metric);
    const narrow = innerWidth < 640;
    return {
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: style.color, family: style.fontFamily },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("soft"), activecolor: colour("accent") },
      margin: { t: 40, r: 10, b: 50, l: 60 },
      height: narrow ? 520 : 450,
      xaxis: {
        ...grid,
        title: { text: chart.x },
        type: chart.numbers ? "log" : "linear",
        tickvals: chart.numbers ? places : places.map((_, number) => number),
        ticktext: places,
        minor: { ticks: "" },
      },
      yaxis: { ...grid, title: { text: `${metric.name}, %` } },
      legend: narrow ? { orientation: "h", y: -0.25 } : {},
      hovermode: "closest",
    };
  }

  function redrawCharts() {
    for (const shown of opened.values()) shown.draw();
  }

  function addChart(figure) {
    const chart = JSON.parse(figure.querySelector("script").textContent);
    const picture = figure.querySelector("a");
    const place = element("div", { className: "chart", hidden: true });
    const button = element("button", { type: "button" }, "Explore the numbers");
    const choice = element("select", { hidden: true, ariaLabel: "Metric" });
    choice.append(...chart.metrics.map((metric, number) => new Option(metric.name, number)));
    const draw = () => {
      const metric = chart.metrics[Number(choice.value)];
      const options = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };
      return window.Plotly.react(place, traces(chart, metric), layout(chart, metric), options);
    };
    choice.addEventListener("change", draw);
    button.addEventListener("click", async () => {
      const open = place.hidden;
      if (open) {
        button.disabled = true;
        await unpack();
        button.disabled = false;
      }
      place.hidden = !open;
      picture.hidden = open;
      choice.hidden = !open || chart.metrics.length < 2;
      button.textContent = open ? "Show the picture" : "Explore the numbers";
      if (open) {
        opened.set(figure, { draw });
        await draw();
      } else {
        opened.delete(figure);
      }
    });
    figure.prepend(element("div", { className: "tools" }, button, choice));
    picture.after(place);
  }

  // What is folded opens for a link that leads into it, and for paper

  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (target) target.scrollIntoView();
  }

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((fold) => { fold.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((fold) => { fold.open = false; }));

  addThemeButton();
  document.querySelectorAll("table[id]").forEach(equip);
  if ("DecompressionStream" in window) document.querySelectorAll("figure[data-chart]").forEach(addChart);
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();
})();
