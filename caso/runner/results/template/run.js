(() => {
  const rows = [...document.querySelectorAll("#images tbody tr")];

  // The slider moves the map and the numbers of every image along its own path.
  const slider = document.getElementById("setting");
  if (slider) {
    const value = document.getElementById("value");
    const paths = new Map();
    const steps = (row) => {
      if (!paths.has(row)) {
        const data = row.querySelector("script");
        paths.set(row, data ? JSON.parse(data.textContent) : []);
      }
      return paths.get(row);
    };
    const put = (row, name, [text, number]) => {
      const cell = row.querySelector(`td.${name}`);
      if (!cell) return;
      if (cell.firstChild?.nodeType === Node.TEXT_NODE) cell.firstChild.data = text;
      else cell.prepend(text);
      cell.dataset.value = number ?? "";
    };
    const move = () => {
      const at = Number(slider.value);
      const ends = [Infinity, -Infinity];
      for (const row of rows) {
        const step = steps(row)[at];
        if (!step) continue;
        const map = row.querySelector("img.map");
        if (map && step.map) map.src = step.map;
        put(row, "lambda1", step.lambda1);
        put(row, "sparsity", step.sparsity);
        put(row, "residual", step.residual);
        row.querySelector("td.certificate").textContent = step.words;
        ends[0] = Math.min(ends[0], step.lambda1[1] ?? Infinity);
        ends[1] = Math.max(ends[1], step.lambda1[1] ?? -Infinity);
      }
      const short = (number) => Number(number.toPrecision(2)).toString();
      const told = !(ends[0] <= ends[1]) ? "" : ends[0] === ends[1] ? short(ends[0]) : `${short(ends[0])} to ${short(ends[1])}`;
      value.textContent = `${told} (${at + 1} of ${Number(slider.max) + 1})`;
      slider.setAttribute("aria-valuetext", value.textContent);
    };
    slider.addEventListener("input", move);
    move();
  }

  // A picture in full size, loaded when it is asked for.
  const dialog = document.getElementById("picture");
  const image = document.getElementById("picture-image");
  const name = document.getElementById("picture-name");
  const links = () => [...document.querySelectorAll("#images tbody tr:not([hidden]) td.look a")];
  let current = null;
  const show = (link) => {
    current = link;
    name.textContent = link.closest("tr").querySelector("th").textContent;
    image.alt = `photograph ${name.textContent} beside its map`;
    image.src = link.href;
  };
  const step = (by) => {
    const all = links();
    show(all[(all.indexOf(current) + by + all.length) % all.length]);
  };
  document.getElementById("images").addEventListener("click", (event) => {
    const link = event.target.closest("td.look a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    show(link);
    dialog.showModal();
  });
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.target === dialog || (button && "close" in button.dataset)) dialog.close();
    else if (button) step(Number(button.dataset.step));
  });
  dialog.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by) step(by);
  });
})();
