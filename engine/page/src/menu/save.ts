/** The name of a file with a chart's data up to the time at, ms. */
export function fileName(title: string, at: number, extension: string): string {
  const name = title.replace(/[^\p{L}\p{N}-]+/gu, '_').replace(/^_+|_+$/g, '');
  const time = new Date(at).toISOString().slice(0, 19).replace(/[-:]/g, '');
  return `${[...(name || 'chart')].slice(0, 60).join('')}-${time}Z.${extension}`;
}

/** Hands content to the browser as a download. */
export function save(name: string, content: Blob): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
