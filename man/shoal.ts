/** What shoal(1) says beside what is to be had from the definitions of its commands. */
import { CAUTION, ENVIRONMENT, EXIT_CODES } from '../cli/epilogue.ts';
import type { Words } from './page.ts';

export const SHOAL: Words = {
  summary: 'share files privately, from your own machine',
  paragraphs: ['Results go to stdout, and everything else to stderr.', CAUTION],
  exitCodes: EXIT_CODES,
  environment: ENVIRONMENT,
  files: [
    [
      '~/.local/share/shoal',
      'The home, elsewhere than on Linux in the folder that the system has for data; SHOAL_HOME chooses another one. ' +
        'Who can read the file "secret" in it can read all of its shares.',
    ],
    [
      '$XDG_RUNTIME_DIR/shoal-UID',
      'Where the process that holds a home listens for other commands; in the folder for temporary files where the ' +
        'variable is not set.',
    ],
  ],
  examples: [
    ['shoal share ./holiday', 'Print a link to a folder, and serve it until Ctrl-C.'],
    ['shoal fetch -', 'Paste the link and press Enter: what was shared comes into this folder.'],
    ['shoal fetch -o - - < link | tar x', 'Unpack a shared archive as it arrives.'],
    ["shoal fetch --only '*.jpg' -o pictures - < link", 'Only some files of a folder.'],
    ['shoal export bafyreid7 -o backup.car', 'The encrypted blocks of a share, for a medium that others may read.'],
  ],
  seeAlso: ['shoal-relay'],
};
