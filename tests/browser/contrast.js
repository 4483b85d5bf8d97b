// Give the texts whose colour is too near to that of their ground: below 4.5 to 1, or 3 to 1 for large ones.
() => {
  const parse = (colour) => {
    const [r, g, b, a] = colour.match(/[\d.]+/g).map(Number);
    return { rgb: [r, g, b], alpha: a === undefined ? 1 : a };
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.alpha === 1) return colour.rgb;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.textContent.trim() || element.closest("svg") || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [one, other] = [luminance(parse(style.color).rgb), luminance(ground(element))].sort((a, b) => b - a);
    const large = parseFloat(style.fontSize) >= 24;
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < (large ? 3 : 4.5)) weak.push(`${texts.currentNode.textContent.trim()}: ${ratio.toFixed(2)}`);
  }
  return weak;
}
