// SPDX-License-Identifier: Apache-2.0
// Draws the pictures of fruits that have no emoji of their own (Korean pear, plum, chamoe ...): the WebP files beside it.
// Exists so that the pictures can be changed by whoever changes the seed. Must never run with the seed: it needs Chromium.
//
//   node stack/seed/pictures/draw.mjs [CHROMIUM]      writes stack/seed/pictures/*.webp anew
//
// Each picture is layers on a 256 x 256 ground of nothing: a shape, its colours from light (upper right) to shade (lower left).

import { writeFileSync } from 'node:fs';
import { chromium } from 'playwright-core';

const SIZE = 256;

// A ball of light on a shape: base colours from the lit side to the far one, a glow from below, a soft highlight.
function lit(id, d, [light, base, shade], glow, extra = '') {
  return `
    <radialGradient id="${id}b" cx="0.68" cy="0.3" r="0.85"><stop offset="0" stop-color="${light}"/><stop offset="0.5" stop-color="${base}"/><stop offset="1" stop-color="${shade}"/></radialGradient>
    <radialGradient id="${id}g" cx="0.45" cy="1.05" r="0.55"><stop offset="0" stop-color="${glow}" stop-opacity="0.85"/><stop offset="1" stop-color="${glow}" stop-opacity="0"/></radialGradient>
    <radialGradient id="${id}h" cx="0.7" cy="0.27" r="0.3"><stop offset="0" stop-color="#fff" stop-opacity="0.5"/><stop offset="1" stop-color="#fff" stop-opacity="0"/></radialGradient>
    <clipPath id="${id}c"><path d="${d}"/></clipPath>
    <path d="${d}" fill="url(#${id}b)"/><g clip-path="url(#${id}c)">${extra}</g><path d="${d}" fill="url(#${id}g)"/><path d="${d}" fill="url(#${id}h)"/>`;
}

const circle = (x, y, r) => `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;

const LEAF = ['#c9f26b', '#8fd32f', '#4f9a1e'];
const leaf = (id, d) => lit(id, d, LEAF, '#3f7d1c');
const stem = (d, width = 9) => `<path d="${d}" fill="none" stroke="#6b4a2b" stroke-width="${width}" stroke-linecap="round"/>
  <path d="${d}" fill="none" stroke="#a57a4a" stroke-width="${width / 3}" stroke-linecap="round" transform="translate(1.5 -1)"/>`;

// Dots of skin, spread without a pattern the eye can find and the same each time.
function freckles(n, colour, opacity) {
  let dots = '';
  for (let i = 1; i <= n; i++) {
    const x = 24 + ((i * 0.61803399) % 1) * 208;
    const y = 60 + ((i * 0.75487767) % 1) * 180;
    dots += `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${1.3 + (i % 3) * 0.4}" fill="${colour}" opacity="${opacity}"/>`;
  }
  return dots;
}

const blur = (id, deviation) => `<filter id="${id}" x="-50%" y="-50%" width="200%" height="200%"><feGaussianBlur stdDeviation="${deviation}"/></filter>`;

const APPLE = 'M128 66c22-18 104-14 104 68c0 62-42 110-74 110c-14 0-18-7-30-7s-16 7-30 7c-32 0-74-48-74-110c0-82 82-86 104-68z';
const PEACH = 'M128 56c30-22 106-6 106 66c0 66-68 120-106 124c-38-4-106-58-106-124c0-72 76-88 106-66z';
const PEACH_SEAM = 'M132 52c24 34 30 84 6 128';

const seam = (colour) => `${blur('seam', 5)}<path d="${PEACH_SEAM}" fill="none" stroke="${colour}" stroke-width="10" opacity="0.55" filter="url(#seam)"/>`;
const blush = (colour, x, y, r) => `${blur('blush', 22)}<circle cx="${x}" cy="${y}" r="${r}" fill="${colour}" filter="url(#blush)"/>`;
const peachLeaves = () => leaf('l1', 'M122 56c-14-2-48 4-64-34c34-6 60 4 64 34z') + leaf('l2', 'M134 56c14-2 48 4 64-34c-34-6-60 4-64 34z');

function grapes(colours, glow) {
  const rows = [[62, [84, 128, 172]], [100, [62, 106, 150, 194]], [138, [84, 128, 172]], [174, [106, 150]], [208, [128]]];
  return rows.flatMap(([y, xs], row) => xs.map((x, i) => lit(`g${row}${i}`, circle(x, y + 18, 25), colours, glow))).join('');
}

function stripes(colour) {
  const lines = [-92, -62, -30, 0, 30, 62, 92].map((bend) => `M128 22C${128 + bend * 1.25} 70 ${128 + bend * 1.25} 190 128 240`);
  return lines.map((d) => `<path d="${d}" fill="none" stroke="${colour}" stroke-width="6" stroke-linecap="round" opacity="0.95"/>`).join('');
}

function kiwi(flesh, heart) {
  const seeds = Array.from({ length: 14 }, (_, i) => {
    const turn = (i / 14) * 2 * Math.PI;
    return `<ellipse cx="${(104 + 48 * Math.cos(turn)).toFixed(1)}" cy="${(112 + 48 * Math.sin(turn)).toFixed(1)}" rx="7" ry="4.4" fill="#2d2433" transform="rotate(${((turn * 180) / Math.PI).toFixed(0)} ${(104 + 48 * Math.cos(turn)).toFixed(1)} ${(112 + 48 * Math.sin(turn)).toFixed(1)})"/>`;
  }).join('');
  return lit('skin', circle(148, 142, 98), ['#d9a86f', '#a8743f', '#6d4526'], '#7c3f52') +
    lit('flesh', circle(104, 112, 92), flesh, flesh[2]) +
    `${blur('soft', 4)}<circle cx="104" cy="112" r="38" fill="${heart}" filter="url(#soft)"/>` + seeds;
}

const PICTURES = {
  'korean-pear': () => stem('M128 52c0-16 4-26 14-36') +
    lit('p', 'M128 50c16-14 108-8 108 92c0 66-54 102-108 102s-108-36-108-102c0-100 92-106 108-92z', ['#f6d58a', '#d9a441', '#a36a2a'], '#a24d4a', freckles(150, '#8a5a22', 0.35)),
  'golden-apple': () => leaf('l', 'M126 62c-34 4-62-10-76-44c38-6 68 6 76 44z') + lit('a', APPLE, ['#fff3a0', '#f8d648', '#d69a1e'], '#e08a4a', freckles(70, '#b98218', 0.25)),
  'shine-muscat': () => `<path d="M128 70c0-24 4-38 18-54" fill="none" stroke="#7aa63a" stroke-width="11" stroke-linecap="round"/>` +
    leaf('l', 'M128 44c-26 24-70 22-92-6c26-28 72-26 92 6z') + grapes(['#efffb0', '#b9dd57', '#7aa92f'], '#7fa35c'),
  'white-peach': () => peachLeaves() + lit('w', PEACH, ['#fffbee', '#fde3d3', '#f4b8b4'], '#e8678e', blush('#f48fa6', 70, 120, 44) + seam('#e77f95')),
  nectarine: () => peachLeaves() + lit('n', PEACH, ['#ff9d6b', '#e8413f', '#9c1640'], '#6f1550', blush('#ffb43f', 176, 200, 36) + seam('#7d0f35')),
  plum: () => stem('M130 60c0-14 4-26 12-38', 8) + leaf('l', 'M138 46c12-26 48-36 78-22c-14 32-50 42-78 22z') +
    lit('u', 'M128 58c24-16 104-2 104 80c0 64-50 106-104 106s-104-42-104-106c0-82 80-96 104-80z', ['#f2708a', '#b71f4e', '#5c1047'], '#43195f', blush('#fff', 84, 118, 20).replace('fill="#fff"', 'fill="#e9c3dc" opacity="0.45"') + seam('#4d0d36').replace('M132 52c24 34 30 84 6 128', 'M130 54c-26 40-30 110-8 186')),
  chamoe: () => `<g transform="rotate(24 128 128)">${stem('M128 26c0-8 0-12-2-18', 10).replaceAll('#6b4a2b', '#6f8f35').replaceAll('#a57a4a', '#a9c861')}` +
    lit('c', 'M128 18c46 0 76 52 76 114c0 66-36 112-76 112s-76-46-76-112c0-62 30-114 76-114z', ['#fff27a', '#ffd21f', '#e39a0c'], '#e0702a', stripes('#fffbe4')) + '</g>',
  persimmon: () => lit('p', 'M128 78c40-14 112-4 112 70c0 58-48 94-112 94s-112-36-112-94c0-74 72-84 112-70z', ['#ffc464', '#fb8c1e', '#cf5312'], '#d43d55') +
    leaf('l1', 'M126 82c-22 20-62 20-84-4c22-24 64-26 84 4z') + leaf('l2', 'M130 82c22 20 62 20 84-4c-22-24-64-26-84 4z') +
    leaf('l3', 'M128 84c-22-14-30-38-22-60c28 4 40 34 22 60z') + leaf('l4', 'M126 80c22 6 34 24 30 44c-24 0-40-20-30-44z') + stem('M128 78c0-12 2-22 4-30', 10),
  hallabong: () => lit('h', 'M128 26c24 0 36 14 42 36c36 16 62 46 62 88c0 58-46 94-104 94s-104-36-104-94c0-42 26-72 62-88c6-22 18-36 42-36z', ['#ffd06a', '#fb9a22', '#dd6416'], '#e2485e',
    freckles(120, '#c9610f', 0.3) + `${blur('fold', 4)}<path d="M88 62c18 12 62 12 80 0" fill="none" stroke="#c4570f" stroke-width="7" opacity="0.6" filter="url(#fold)"/>`) + leaf('l', 'M130 32c8-24 42-34 72-22c-12 28-46 38-72 22z'),
  'gold-kiwi': () => kiwi(['#fff3a3', '#fbd43f', '#e6a51c'], '#fff7cf'),
  'red-kiwi': () => kiwi(['#f4ef9a', '#cfdc52', '#9dbb2c'], '#e8466a'),
};

const svg = (layers) => `<svg xmlns="http://www.w3.org/2000/svg" width="${SIZE}" height="${SIZE}" viewBox="0 0 ${SIZE} ${SIZE}">${layers}</svg>`;

const browser = await chromium.launch({ executablePath: process.argv[2] ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
const page = await browser.newPage();
for (const [name, layers] of Object.entries(PICTURES)) {
  const url = await page.evaluate(async ({ text, size }) => {
    const image = new Image(size, size);
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
    await image.decode();
    const canvas = Object.assign(document.createElement('canvas'), { width: size, height: size });
    canvas.getContext('2d').drawImage(image, 0, 0);
    return canvas.toDataURL('image/webp', 0.86);
  }, { text: svg(layers()), size: SIZE });
  const bytes = Buffer.from(url.slice(url.indexOf(',') + 1), 'base64');
  writeFileSync(new URL(`${name}.webp`, import.meta.url), bytes);
  console.log(`${name}.webp  ${bytes.length} bytes`);
}
await browser.close();
