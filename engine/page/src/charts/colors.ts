// The palette of Okabe and Ito, which people with any colour vision can tell
// apart; on each background the colours with the most contrast come first.
const light = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#000000', '#a89e00'];
const dark = ['#56b4e9', '#e69f00', '#00b785', '#cc79a7', '#f0e442', '#e5702a', '#3a9bdc', '#f2f2f2'];
const dashes: number[][] = [[], [6, 4], [2, 3], [8, 3, 2, 3]];

/** Colour and dash of the line that came in as number index. */
export function look(index: number, onDark: boolean): { color: string; dash: number[] } {
  const palette = onDark ? dark : light;
  return {
    color: palette[index % palette.length] as string,
    dash: dashes[Math.floor(index / palette.length) % dashes.length] as number[],
  };
}
