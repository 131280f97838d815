/**
 * The one error class of the project and its closed list of codes. Callers branch on the code, people read the message
 * (what we tried, on what, what was wrong with it), the cause is for us. Keys and full links never appear in a message.
 */

/** Every way in which shoal fails on purpose, and what it means. `docs/errors.md` lists them for users. */
export const ERROR_CODES = {
  usage: 'the command or call is put together wrongly',
  'bad-link': 'the link can not be read: cut short, wrong characters, not a shoal link',
  'key-missing': 'the link names a share but holds no key to read it',
  'wrong-key': 'the key, passphrase or identity does not open this share',
  unsupported: 'made by a newer program, or a kind that this program does not handle',
  malformed: 'a block or manifest breaks the format',
  corrupt: 'bytes do not match their CID, or a chunk fails authentication',
  mismatch: 'bytes that someone sent are not what was asked for',
  unavailable: 'found, but nobody has what is missing, or who has it is busy or over quota',
  'not-found': 'nobody was found who has the share',
  refused: 'every source that knew the share refused it: blocked, withdrawn or expired',
  changed: 'the source file changed since it was shared',
  'not-shareable': 'something in the folder can not be shared',
  exists: 'the output exists already',
  'in-use': 'another process is working on the same thing',
  'disk-full': 'no space is left, or a quota is reached',
  denied: 'the file system does not allow it',
  'bad-name': 'the file system can not hold a name',
  io: 'the file system or operating system failed',
  protocol: 'the other side broke the protocol',
  home: 'the home folder can not be used',
  'newer-home': 'the home was written by a newer program',
  skew: 'the command and the process that holds the home are of different versions',
  'unknown-share': 'this home has no such share',
  interrupted: 'stopped on request',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/** A failure that is an ordinary event: bad input, a lying peer, a full disk. Bugs of ours are plain assertion errors. */
export class ShoalError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'ShoalError';
    this.code = code;
  }
}

/** Whether `error` is a ShoalError, of the given code where one is given. */
export function isShoalError(error: unknown, code?: ErrorCode): error is ShoalError {
  return error instanceof ShoalError && (code === undefined || error.code === code);
}

/** The exit code of a program that ends with `code`; the list is part of the command line's interface. */
export function exitCodeOf(code: ErrorCode): number {
  switch (code) {
    case 'usage':
    case 'bad-link':
    case 'key-missing':
      return 2;
    case 'not-found':
    case 'unavailable':
      return 3;
    case 'wrong-key':
      return 4;
    case 'refused':
      return 5;
    case 'changed':
      return 6;
    case 'interrupted':
      return 130;
    default:
      return 1;
  }
}

/** What the file system said, as one of our codes, with a sentence on what was tried. */
export function fileError(error: unknown, tried: string): ShoalError {
  if (error instanceof ShoalError) return error;
  const errno = (error as NodeJS.ErrnoException).code;
  const [code, why] = explainErrno(errno);
  return new ShoalError(code, `cannot ${tried}: ${why ?? (error as Error).message}`, { cause: error });
}

function explainErrno(errno: string | undefined): [ErrorCode, string?] {
  switch (errno) {
    case 'ENOSPC':
      return ['disk-full', 'no space is left on the disk; free some and run the same command again'];
    case 'EDQUOT':
      return ['disk-full', 'your disk quota is used up; free some and run the same command again'];
    case 'EFBIG':
      return [
        'disk-full',
        'such a size is too large for its file system, or for a limit of this process (ulimit -f); choose another place',
      ];
    case 'EACCES':
    case 'EPERM':
      return ['denied', 'permission denied; choose another place or change its permissions'];
    case 'EROFS':
      return ['denied', 'the file system is read-only; choose another place'];
    case 'ENAMETOOLONG':
      return ['bad-name', 'the name is too long for this file system; choose a shorter one with --output'];
    case 'EINVAL':
    case 'EILSEQ':
      return ['bad-name', 'this file system can not hold such a name; choose another place or name'];
    case 'EEXIST':
      return ['exists', 'it exists already; choose another place, or replace it with --force'];
    case 'ELOOP':
      return ['denied', 'a symbolic link stands in its place; remove that, or choose another place'];
    case 'ENOENT':
      return ['io', 'it does not exist'];
    case 'ENOTDIR':
      return ['io', 'something on its path is not a folder; choose another place'];
    case 'EISDIR':
      return ['io', 'it is a folder, and a file is needed; choose another place'];
    case 'EIO':
      return ['io', 'the device could not do it; look whether it is failing, or was taken away'];
    case 'EMFILE':
    case 'ENFILE':
      return ['io', 'too many files are open; raise the limit (ulimit -n) or close other programs'];
    default:
      return ['io'];
  }
}
