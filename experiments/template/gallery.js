"use strict";
(() => {
  const data = JSON.parse(document.getElementById("gallery-data").textContent);
  const [choices, slider, value, stage, curves] = ["choices", "lambda1", "value", "stage", "curves"].map((id) => document.getElementById(id));
  const orders = Object.keys(data.orders);
  const colours = { first: "var(--first)", second: "var(--second)" };
  const drawn = ["sparsity", "insertion", "deletion"];
  let current = 0;

  // Text only ever becomes text: file names may hold markup.
  const make = (name, properties = {}, children = []) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const vector = (name, attributes, text) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, one] of Object.entries(attributes)) made.setAttribute(key, one);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const short = (number) => (number === null || number === undefined ? "" : Number(number.toPrecision(3)).toString());

  const buttons = data.images.map((image, place) => {
    const button = make("button", { type: "button", title: image.name }, [make("img", { src: image.photograph, alt: image.name })]);
    button.addEventListener("click", () => { current = place; choose(); });
    return button;
  });
  choices.append(...buttons);

  const photograph = { image: make("img"), name: make("b"), predicted: make("span") };
  stage.append(make("figure", {}, [photograph.image, make("figcaption", {}, [photograph.name, make("br"), photograph.predicted])]));
  const maps = {};
  for (const order of orders) {
    maps[order] = { image: make("img"), scores: make("dl"), chosen: make("span") };
    maps[order].image.dataset.order = order;
    const title = make("b", { textContent: data.orders[order] });
    title.style.color = colours[order];
    stage.append(make("figure", {}, [maps[order].image, make("figcaption", {}, [title, make("br"), maps[order].chosen]), maps[order].scores]));
  }

  const [width, height, left, bottom, top] = [320, 150, 34, 24, 16];
  const logs = data.lambda1s.map((one) => Math.log10(Math.max(one, 1e-9)));
  const x = (log) => left + ((log - logs[0]) / (logs[logs.length - 1] - logs[0] || 1)) * (width - left - 8);
  const y = (score) => height - bottom - score * (height - bottom - top);
  let cursors = [];

  function choose() {
    const image = data.images[current];
    buttons.forEach((button, place) => button.setAttribute("aria-pressed", String(place === current)));
    photograph.image.src = image.photograph;
    photograph.image.alt = image.name;
    photograph.name.textContent = image.name;
    photograph.predicted.textContent = image.predicted;
    for (const order of orders) {
      const chosen = image.chosen[order];
      maps[order].chosen.textContent = chosen === null ? "" : `sparsity ${data.sparsity} at lambda1 = ${short(chosen)}`;
    }
    cursors = [];
    curves.replaceChildren(...drawn.map((score) => {
      const chart = vector("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${score} along lambda1` });
      chart.append(vector("text", { x: left, y: 10 }, score));
      for (const tick of [0, 0.5, 1]) {
        chart.append(vector("line", { x1: left, x2: width - 8, y1: y(tick), y2: y(tick), stroke: "currentColor", "stroke-opacity": 0.15 }));
        chart.append(vector("text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)));
      }
      for (const [place, anchor] of [[0, "start"], [logs.length - 1, "end"]]) {
        chart.append(vector("text", { x: x(logs[place]), y: height - 6, "text-anchor": anchor }, short(data.lambda1s[place])));
      }
      const cursor = vector("line", { y1: top, y2: height - bottom, stroke: "currentColor" });
      cursors.push(cursor);
      chart.append(cursor);
      for (const order of orders) {
        const chosen = image.chosen[order];
        if (chosen !== null && chosen >= data.lambda1s[0]) {
          const at = Math.min(x(Math.log10(chosen)), width - 8);
          chart.append(vector("line", { x1: at, x2: at, y1: top, y2: height - bottom, stroke: colours[order], "stroke-dasharray": "2 3" }));
        }
        const points = image.orders[order].filter((step) => typeof step.scores[score] === "number");
        const path = points.map((step) => `${x(Math.log10(Math.max(step.lambda1, 1e-9))).toFixed(1)},${y(step.scores[score]).toFixed(1)}`).join(" ");
        chart.append(vector("polyline", { points: path, fill: "none", stroke: colours[order], "stroke-width": 2 }));
      }
      return chart;
    }));
    show();
  }

  function show() {
    const image = data.images[current];
    const place = Number(slider.value);
    value.textContent = short(data.lambda1s[place]);
    for (const order of orders) {
      const step = image.orders[order][place];
      maps[order].image.src = step.map;
      maps[order].image.alt = `${data.orders[order]} of ${image.name} at lambda1 ${short(step.lambda1)}`;
      maps[order].scores.replaceChildren(...Object.entries(step.scores).flatMap(([name, score]) => [
        make("dt", { textContent: name }), make("dd", { textContent: score === null ? "" : score.toFixed(3) }),
      ]));
    }
    for (const cursor of cursors) {
      cursor.setAttribute("x1", x(logs[place]));
      cursor.setAttribute("x2", x(logs[place]));
    }
  }

  slider.max = String(data.lambda1s.length - 1);
  slider.value = String(Math.floor(data.lambda1s.length / 2));
  slider.addEventListener("input", show);
  choose();
})();
