#!/usr/bin/env node
// A link on the command line is a secret, and a list of processes shows command lines to everyone.
process.title = 'shoal';
const { launch } = await import('./launch.js');
await launch('shoal', import.meta.url, () => import('../dist/program/main.js'));
