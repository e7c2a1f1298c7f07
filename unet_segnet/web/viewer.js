// Each .viewer shows one slice at a time; its pictures lie beside it as JSON and are decoded when they are shown.
(() => {
  "use strict";

  const KEYS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 };
  const PAN = { ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowRight: [1, 0], ArrowUp: [0, -1] };
  const PAN_STEP = 40;
  const AREA_OPACITY = 60;
  const WHEEL_STEP = 30; // pixels of one slice: a notch of a wheel is more, a touchpad sends many small ones

  const picture = async (base64, kind, alt) => {
    const image = new Image();
    image.className = kind;
    image.alt = alt;
    image.src = `data:image/png;base64,${base64}`;
    await image.decode();
    return image;
  };

  const start = (viewer) => {
    const data = JSON.parse(viewer.querySelector('script[type="application/json"]').textContent);
    const find = (name) => viewer.querySelector(`.${name}`);
    const [stage, slice, layer, style, opacity, zoom] = [
      "stage", "slice", "layer", "style", "opacity", "zoom-factor",
    ].map(find);
    const errorsOption = style.querySelector('[value="errors"]');
    let drawn = 0;
    let wheel = 0;

    const scale = () => {
      const ratio = window.devicePixelRatio;
      const room = Math.min(stage.clientWidth / data.width, (0.85 * window.innerHeight) / data.height);
      // Whole device pixels per pixel of the slice, so that nothing is interpolated, where the slice fits at all.
      const fitting = Math.floor(room * ratio) / ratio || stage.clientWidth / data.width;
      const factor = Number(zoom.value) || fitting;
      for (const image of stage.children) {
        image.style.width = `${data.width * factor}px`;
        image.style.height = `${data.height * factor}px`;
      }
      stage.classList.toggle("reduced", factor * ratio < 1);
    };

    const fade = () => {
      find("percent").textContent = `${opacity.value} %`;
      const overlay = stage.querySelector(".overlay");
      if (overlay) overlay.style.opacity = String(opacity.value / 100);
    };

    const draw = async () => {
      const turn = ++drawn;
      const index = Number(slice.value);
      const chosen = layer.value === "" ? null : data.layers[Number(layer.value)];
      const pictures = chosen?.[style.value] ?? chosen?.fill;
      const showsErrors = Boolean(chosen?.errors) && style.value === "errors";
      const name = `Slice ${data.names[index]}`;
      const wanted = [picture(data.slices[index], "grey", name)];
      if (pictures) wanted.push(picture(pictures[index], "overlay", ""));
      const ready = await Promise.all(wanted);
      if (turn !== drawn) return; // another slice was chosen in the meantime
      stage.replaceChildren(...ready);
      scale();
      fade();
      const parts = [`${name} (${index + 1} of ${data.names.length})`];
      if (chosen) parts.push(layer.selectedOptions[0].textContent);
      if (chosen?.dice) parts.push(chosen.dice[index]);
      find("viewer-status").textContent = parts.join(" \u00b7 ");
      slice.setAttribute("aria-valuetext", parts[0]);
      if (errorsOption) errorsOption.disabled = !chosen?.errors;
      for (const legend of viewer.querySelectorAll(".legend")) {
        legend.hidden = !chosen || (legend.dataset.legend === "errors") !== showsErrors;
      }
    };

    const go = (index) => {
      const before = slice.value;
      slice.value = String(index); // the slider keeps to its range
      if (slice.value !== before) draw();
    };
    const move = (step) => go(Number(slice.value) + step);

    slice.addEventListener("input", draw);
    layer.addEventListener("change", () => {
      const hasErrors = layer.value !== "" && Boolean(data.layers[Number(layer.value)].errors);
      if (style.value === "errors" && !hasErrors) style.value = "fill";
      draw();
    });
    style.addEventListener("change", () => {
      opacity.value = style.value === "outline" ? 100 : AREA_OPACITY; // lines of one pixel are faint otherwise
      draw();
    });
    opacity.addEventListener("input", fade);
    zoom.addEventListener("change", () => {
      scale();
      stage.scrollTo((stage.scrollWidth - stage.clientWidth) / 2, (stage.scrollHeight - stage.clientHeight) / 2);
    });
    find("previous").addEventListener("click", () => move(-1));
    find("next").addEventListener("click", () => move(1));
    new ResizeObserver(scale).observe(stage);

    stage.addEventListener("keydown", (event) => {
      const { key, shiftKey, ctrlKey, altKey, metaKey } = event;
      if (ctrlKey || altKey || metaKey) return;
      if (shiftKey && key in PAN) stage.scrollBy(PAN[key][0] * PAN_STEP, PAN[key][1] * PAN_STEP);
      else if (key in KEYS) move(KEYS[key]);
      else if (key === "Home") go(0);
      else if (key === "End") go(data.names.length - 1);
      else return;
      event.preventDefault();
    });
    stage.addEventListener("wheel", (event) => {
      // Only after a click, so that the page scrolls past; never with Ctrl, which is the browser's own zoom.
      if (document.activeElement !== stage || event.ctrlKey) return;
      event.preventDefault();
      wheel += event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? WHEEL_STEP : 1);
      const steps = Math.trunc(wheel / WHEEL_STEP);
      if (steps) move(Math.sign(steps));
      wheel = steps ? 0 : wheel;
    }, { passive: false });

    for (const part of viewer.querySelectorAll(".viewer-controls, .stage, .viewer-hint")) part.hidden = false;
    layer.value = layer.options.length > 1 ? "0" : "";
    draw();
  };

  for (const viewer of document.querySelectorAll(".viewer")) start(viewer);
})();
