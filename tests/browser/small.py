"""Pictures of pages made small: few colours, one byte a pixel (PNG, colour type 3). The browser counts the colours."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Final

from playwright.async_api import Page

__all__ = ["small"]

_COUNT: Final = """async (picture) => {
  const image = await createImageBitmap(await (await fetch(picture)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height);
  const pen = canvas.getContext('2d');
  pen.drawImage(image, 0, 0);
  const words = new Uint32Array(pen.getImageData(0, 0, image.width, image.height).data.buffer);
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const parts = (word) => [word & 255, (word >> 8) & 255, (word >> 16) & 255];
  const palette = [], colours = [];
  for (const apart of [180, 60, 0]) {
    for (const [word] of [...counts].sort((a, b) => b[1] - a[1])) {
      const [r, g, b] = parts(word);
      const near = ([pr, pg, pb]) => (r - pr) ** 2 + (g - pg) ** 2 + (b - pb) ** 2 <= apart;
      if (palette.length < (apart ? 250 : 256) && !colours.some(near)) {
        palette.push(word);
        colours.push([r, g, b]);
      }
    }
  }
  const places = new Map(palette.map((word, place) => [word, place]));
  const nearest = (word) => {
    const [r, g, b] = parts(word);
    let best = 0, least = Infinity;
    for (const [place, [pr, pg, pb]] of colours.entries()) {
      const away = (r - pr) ** 2 + (g - pg) ** 2 + (b - pb) ** 2;
      if (away < least) [best, least] = [place, away];
    }
    places.set(word, best);
    return best;
  };
  const pixels = Uint8Array.from(words, (word) => places.get(word) ?? nearest(word));
  let text = '';
  for (let at = 0; at < pixels.length; at += 32768) text += String.fromCharCode(...pixels.subarray(at, at + 32768));
  return { width: image.width, height: image.height, colours: colours.flat(), pixels: btoa(text) };
}"""


async def small(blank: Page, picture: bytes) -> bytes:
    """The picture in 256 of its colours, the commonest that are not alike; every other becomes the nearest of them.
    `blank` is a page that shows nothing."""
    seen = await blank.evaluate(_COUNT, f"data:image/png;base64,{base64.b64encode(picture).decode()}")
    width, height, pixels = seen["width"], seen["height"], base64.b64decode(seen["pixels"])
    rows = b"".join(b"\0" + pixels[at : at + width] for at in range(0, width * height, width))
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", bytes(seen["colours"])), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in parts)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
