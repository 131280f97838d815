/** What is wrong with a command line, in our words: commander's own say what went wrong in its code. */
import type { Command, CommanderError } from 'commander';
import { ShoalError } from '../src/errors.ts';
import { quoted } from '../src/format/quoted.ts';
import { holdsKey } from './secrets.ts';

/** The error `usage` for what commander threw when it parsed `args`. */
export function usageError(error: CommanderError, args: readonly string[], program: Command): ShoalError {
  if (error.code === 'commander.unknownCommand' && holdsKey(args[0] ?? ''))
    return new ShoalError('usage', 'a link is no command: "shoal fetch LINK" gets it, "shoal ls LINK" looks at it');
  const { path, command } = commandOf(program, args);
  const next = /\(Did you mean (.*)\?\)$/.exec(error.message)?.[1];
  const help = `"${['shoal', ...path, '--help'].join(' ')}" says more`;
  const what = whatIsWrong(error, args, path, command);
  return new ShoalError('usage', `${what}; ${next === undefined ? help : `did you mean "${next}"?`}`, { cause: error });
}

/** The command that is named, and the words that lead to it. */
function commandOf(program: Command, args: readonly string[]): { readonly path: string[]; readonly command: Command } {
  const path: string[] = [];
  let command = program;
  for (const word of args) {
    const below = command.commands.find(one => one.name() === word);
    if (below === undefined) continue;
    path.push(word);
    command = below;
  }
  return { path, command };
}

function whatIsWrong(
  { code, message }: CommanderError,
  args: readonly string[],
  path: readonly string[],
  command: Command,
): string {
  const names = command
    .createHelp()
    .visibleCommands(command)
    .map(one => one.name())
    .filter(name => name !== 'help')
    .join(', ');
  switch (code) {
    case 'commander.help': {
      const asked = args[args.indexOf('help') + 1];
      if (args.includes('help') && asked !== undefined) return `unknown command ${quoted(asked)}`;
      return `no command is given behind "${path.join(' ')}": it is ${names}`;
    }
    case 'commander.excessArguments': {
      const [, most, given, first = ''] =
        /Expected (\d+) arguments? but got (\d+): (.*?)(?:, .*)?\.$/s.exec(message) ?? [];
      if (names !== '') return `unknown command ${quoted(first)} behind "${path.join(' ')}": it is ${names}`;
      const taken = most === '0' ? 'none' : most;
      return `too many arguments: "shoal ${path.join(' ')}" takes ${taken}, and ${given} ${given === '1' ? 'is' : 'are'} given`;
    }
    case 'commander.invalidArgument': {
      const pattern = /option '(?:-., )?(--[\w-]+).*?' argument '(.*)' is invalid\. Allowed choices are (.*)\.$/s;
      const ofOption = pattern.exec(message);
      if (ofOption !== null) return `${ofOption[1]}: ${quoted(ofOption[2] ?? '')} is none of ${ofOption[3]}`;
      const [, value = '', name, choices] =
        /value '(.*)' is invalid for argument '(.*)'\. Allowed choices are (.*)\.$/s.exec(message) ?? [];
      return `the ${name} ${quoted(value)} is none of ${choices}`;
    }
    case 'commander.optionMissingArgument':
      return `no value is given to ${optionIn(message)}`;
    case 'commander.missingMandatoryOptionValue':
      return `"shoal ${path.join(' ')}" needs ${optionIn(message)}`;
    default:
      return (message.split('\n')[0] ?? '').replace(/^error: /, '').replace(/\.$/, '');
  }
}

/** `--output <file>` of `option '-o, --output <file>' …`. */
function optionIn(message: string): string {
  return /option '(?:-., )?(.*)'/.exec(message)?.[1] ?? '';
}
