// What a reader sees of the page, measured: colours with what lies behind them, labels, and where they overlap.
(() => {
  const channels = (text) => {
    const found = /rgba?\(([^)]+)\)/.exec(text);
    if (!found) return null;
    const [r, g, b, a = 1] = found[1].split(/[ ,/]+/).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = ([r, g, b]) => [r, g, b].map((one) => one / 255).map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)).reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const paper = () => channels(getComputedStyle(document.body).backgroundColor);
  // the ground of an element of HTML: the backgrounds around it, over each other
  function ground(element) {
    const layers = [];
    for (let around = element; around; around = around.parentElement) {
      const colour = channels(getComputedStyle(around).backgroundColor);
      if (colour?.[3]) layers.push(colour);
      if (colour?.[3] === 1) break;
    }
    return layers.reverse().reduce((below, colour) => over(colour, below), [255, 255, 255, 1]);
  }
  const faded = (element) => {
    let opacity = 1;
    for (let around = element; around && around !== document.body; around = around.parentElement) opacity *= Number(getComputedStyle(around).opacity);
    return opacity;
  };
  const seen = (element) => element.checkVisibility?.({ opacityProperty: true, visibilityProperty: true }) ?? true;

  window.contrastOfText = () => [...document.querySelectorAll("body *")].flatMap((element) => {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !seen(element) || ["SCRIPT", "STYLE", "NOSCRIPT", "OPTION"].includes(element.tagName) || element.closest("svg, .skip")) return [];
    const style = getComputedStyle(element), below = ground(element);
    const colour = channels(style.color);
    const size = parseFloat(style.fontSize), needs = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const found = ratio(over([...colour.slice(0, 3), colour[3] * faded(element)], below), below);
    return found < needs - 0.01 ? [`${found.toFixed(2)} ${element.tagName}.${element.className} ${element.textContent.slice(0, 40)}`] : [];
  });

  const boxOf = (element) => element.getBoundingClientRect();
  const inside = (x, y, box) => box.left <= x && x <= box.right && box.top <= y && y <= box.bottom;
  window.contrastOfCharts = () => {
    const below = paper(), bad = new Set();
    for (const svg of document.querySelectorAll(".chart svg")) {
      const chart = svg.closest(".chart").id;
      const marks = [...svg.querySelectorAll(".role-mark path, .role-mark rect, .role-mark line, .role-legend-symbol path")];
      const filled = marks.map((mark) => {
        const style = getComputedStyle(mark), fill = channels(style.fill);
        return fill && { box: boxOf(mark), colour: [...fill.slice(0, 3), fill[3] * Number(style.fillOpacity) * faded(mark)] };
      }).filter((one) => one?.colour[3] && one.box.width > 6 && one.box.height > 6);
      for (const text of svg.querySelectorAll("text")) {
        const style = getComputedStyle(text), fill = channels(style.fill), opacity = faded(text) * Number(style.fillOpacity);
        if (!fill || !opacity || !text.textContent.trim()) continue;
        const box = boxOf(text), x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
        const behind = filled.filter((one) => inside(x, y, one.box)).reduce((under, one) => over(one.colour, under), below);
        const found = ratio(over([...fill.slice(0, 3), fill[3] * opacity], behind), behind);
        if (found < 4.49) bad.add(`${chart} text ${found.toFixed(2)} ${text.textContent.slice(0, 30)}`);
      }
      for (const mark of marks) {
        const style = getComputedStyle(mark), opacity = faded(mark), box = boxOf(mark);
        if (!opacity || (!box.width && !box.height)) continue;
        const best = ["fill", "stroke"].map((part) => {
          const colour = channels(style[part]), alpha = Number(style[`${part}Opacity`]) * opacity;
          if (!colour || (part === "stroke" && !parseFloat(style.strokeWidth))) return 0;
          return ratio(over([...colour.slice(0, 3), colour[3] * alpha], below), below);
        });
        const found = Math.max(...best);
        if (found && found < 2.99) bad.add(`${chart} mark ${found.toFixed(2)} ${mark.closest(".role-mark, .role-legend-symbol").getAttribute("class").split(" ").slice(0, 3).join(" ")} ${style.fill} ${style.stroke}`);
      }
    }
    return [...bad];
  };

  const labelsOf = (svg) => [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim() && faded(text) > 0.01 && boxOf(text).width);
  window.faultsOfLabels = () => [...document.querySelectorAll(".chart svg")].flatMap((svg) => {
    const chart = svg.closest(".chart").id, frame = boxOf(svg), texts = labelsOf(svg), boxes = texts.map(boxOf), faults = [];
    boxes.forEach((one, place) => {
      const words = texts[place].textContent;
      if (one.left < frame.left - 1 || one.right > frame.right + 1 || one.top < frame.top - 2 || one.bottom > frame.bottom + 2) faults.push(`${chart}: ${words} is cut`);
      for (let next = place + 1; next < boxes.length; next++) {
        const other = boxes[next];
        const wide = Math.min(one.right, other.right) - Math.max(one.left, other.left), high = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        const halo = words === texts[next].textContent && Math.abs(one.left - other.left) < 1 && Math.abs(one.top - other.top) < 1;
        if (wide > 1 && high > 3 && !halo) faults.push(`${chart}: ${words} over ${texts[next].textContent}`);
      }
    });
    for (const axis of svg.querySelectorAll(".role-axis")) {
      const labels = [...axis.querySelectorAll(".role-axis-label text")].filter((text) => faded(text) > 0.01).map((text) => text.textContent).filter((text) => text.trim());
      for (const label of new Set(labels)) if (labels.filter((one) => one === label).length > 1) faults.push(`${chart}: an axis says ${label} twice`);
      for (const label of labels) if (/\de[+-]?\d/.test(label)) faults.push(`${chart}: an axis says ${label}`);
    }
    return faults;
  });
  window.cutCells = () => [...document.querySelectorAll(".map td, .map th")].filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent);
})();
