// Comfort only: every page works without this file. Draws the charts and keeps hidden tabs from asking the ledger.
"use strict";
(() => {
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const stamp = (at) => new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ");

  const draw = (figure) => {
    const data = JSON.parse(figure.dataset.chart);
    if (data.at.length < 2) return;
    const axis = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { show: false } };
    const bars = uPlot.paths.bars({ size: [0.6, 22] });
    const options = {
      width: figure.clientWidth - 32,
      height: 150,
      legend: { live: true },
      cursor: { y: false },
      scales: { x: { range: (_, from, to) => { const edge = Math.max((to - from) * 0.03, 60); return [from - edge, to + edge]; } }, y: { range: (_, __, most) => [0, (most || 1) * 1.08] } },
      axes: [{ ...axis, values: (_, ticks, __, ___, step) => ticks.map((at) => (at % 60 ? "" : stamp(at).slice(...(step < 86400 ? [11, 16] : [5, 10])))) }, { ...axis, size: 58, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString("en")) }],
      series: [
        { label: "started (UTC)", value: (_, at) => (at == null ? "" : stamp(at)) },
        { label: data.unit, fill: css("--c-complete"), stroke: css("--c-complete"), paths: bars, points: { show: false },
          value: (_, value) => (value == null ? "" : value.toLocaleString("en", { maximumFractionDigits: 1 })) },
      ],
      hooks: { setCursor: [(plot) => plot.cursor.idx == null && plot.setLegend({ idx: data.at.length - 1 }, false)] },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
    };
    const chart = new uPlot(options, [data.at, data.values], figure);
    chart.setLegend({ idx: data.at.length - 1 }, false);
    figure.classList.add("drawn");
    new ResizeObserver(() => chart.setSize({ width: figure.clientWidth - 32, height: 150 })).observe(figure);
  };

  document.querySelectorAll("[data-chart]").forEach(draw);
  document.addEventListener("htmx:beforeRequest", (event) => {
    const isPoll = event.detail.requestConfig.verb === "get" && !event.detail.requestConfig.triggeringEvent;
    if (document.hidden && isPoll) event.preventDefault();
  });
})();
