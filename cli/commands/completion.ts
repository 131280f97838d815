/** `shoal completion`: what a shell needs to complete command lines of this program. */
import type { Command } from 'commander';
import { bashCompletion } from '../completion/bash.ts';
import { fishCompletion } from '../completion/fish.ts';
import { wordsOf, type Level } from '../completion/words.ts';
import { zshCompletion } from '../completion/zsh.ts';

const SCRIPTS: Readonly<Record<Shell, (program: Level) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export type Shell = 'bash' | 'zsh' | 'fish';

/** The script for a shell, without a newline at its end. */
export function completion(shell: Shell, program: Command): string {
  return SCRIPTS[shell](wordsOf(program));
}
