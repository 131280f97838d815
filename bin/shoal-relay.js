#!/usr/bin/env node
// A token may be on the command line, and a list of processes shows command lines to everyone.
process.title = 'shoal-relay';
const { launch } = await import('./launch.js');
await launch('shoal-relay', import.meta.url, () => import('../dist/program/relay.js'));
