/** What shoal-relay(1) says beside what is to be had from the definitions of its commands. */
import type { Words } from './page.ts';

export const RELAY: Words = {
  summary: 'pass on, store and serve what can not be read here',
  paragraphs: [
    'Results go to stdout, and everything else to stderr. A token is printed once, by "token create", and stands nowhere else.',
  ],
  exitCodes: [
    ['0', 'done; a relay that was told to stop by SIGTERM or SIGINT ends so, too'],
    ['1', 'failed'],
    ['2', 'wrong usage or configuration'],
    ['3', 'no relay answers'],
    ['130', 'stopped before it was done'],
  ],
  environment: [
    [
      'SHOAL_RELAY_HOME',
      'The folder of config.toml, and of the data where the configuration names no other. Without it they are in ' +
        "/etc/shoal-relay and /var/lib/shoal-relay for root, else in the user's folders for configurations and data.",
    ],
  ],
  files: [
    ['config.toml', 'The configuration. A file that others may write to is refused.'],
    ['key', 'The key of the relay. Who can read it can pass for the relay, and make tokens of it.'],
    ['tokens.sqlite, leases.sqlite, chunks', 'The tokens that were made, what was promised, and the blocks of that.'],
    [
      'admin.sock',
      'Where a relay that runs is asked how it stands. It answers over HTTP: /livez, /readyz, /metrics and /status.',
    ],
  ],
  examples: [
    [
      'shoal-relay init --public relay.example --disk "60 GB"',
      'Write a configuration, and make the key. On a terminal it asks for what is not given.',
    ],
    ['shoal-relay check-config', 'What holds, or what is wrong.'],
    ['shoal-relay token create --disk "20 GB" --note Ada', 'A token for who is to have more than everybody.'],
    ['kill -HUP PID', 'Have a relay that runs read its configuration again.'],
  ],
  seeAlso: ['shoal'],
};
