/** The help on terminals of different widths. */
import { expect } from 'chai';
import type { Command } from 'commander';
import { widthOf } from '../../cli/columns.ts';
import { epilogue } from '../../cli/epilogue.ts';
import { definitionsOf } from '../../cli/program.ts';

function helpsOf(columns: number): string[] {
  const every = (command: Command): Command[] => [command, ...command.commands.flatMap(every)];
  return every(definitionsOf('1.2.3')).map(command =>
    command.configureOutput({ getOutHelpWidth: () => columns }).helpInformation(),
  );
}

describe('The help', () => {
  it('is never wider than the terminal, which would break its words', () => {
    for (const columns of [40, 60, 80, 200]) {
      const lines = [...helpsOf(columns), epilogue(columns)].flatMap(text => text.split('\n'));
      // A line to type is one line.
      const broken = lines.filter(line => widthOf(line) > columns && !line.startsWith('Usage: '));
      expect(broken).to.deep.equal([]);
    }
  });

  it('has what an option means beside it, and below it where there is no room', () => {
    const [wide = ''] = helpsOf(80);
    expect(wide).to.match(/^ {2}--debug {2,}print what goes on inside/m);
    const [narrow = ''] = helpsOf(40);
    expect(narrow).to.contain('\n  --debug\n      print what goes on inside, and\n      traces of errors\n');
  });
});
