/** Configuration: what is wrong with a text, and where; and changes of one key. */
import { expect } from 'chai';
import fc from 'fast-check';
import { z } from 'zod';
import { brokenError, parseConfig, readConfig, type Problem, type TomlValue } from '../src/config.ts';
import { templateOf, withKey, withoutKey } from '../src/config-edit.ts';
import { MAX_CONFIG_BYTES } from '../src/limits.ts';

const text = (expects: string, example: TomlValue): z.ZodOptional =>
  z.string().meta({ description: 'A text.', expects, example }).optional();

const SCHEMA = z
  .strictObject({
    name: text('a name', 'ann'),
    network: z
      .strictObject({
        listen: z
          .array(z.string())
          .meta({ description: 'Where to listen.', expects: 'a list of addresses', example: ['/a', '/b'] })
          .optional(),
        port: z.int().min(1).meta({ description: 'The port.', expects: 'a port', example: 4001 }).optional(),
        mdns: z
          .boolean()
          .meta({ description: 'Whether to.', expects: 'true or false', example: true, preset: false })
          .optional(),
        'max-connections': z.int().meta({ description: 'How many.', expects: 'a number', example: 300 }).optional(),
      })
      .meta({ description: 'How it meets others.' })
      .optional(),
    rate: z.strictObject({ up: text('a rate', '5 MB/s'), down: text('a rate', '5 MB/s') }).optional(),
  })
  .superRefine(({ network }, context) => {
    if (network?.port !== undefined && network.listen !== undefined)
      context.addIssue({ code: 'custom', path: ['network', 'port'], message: 'not with listen' });
  });

/** A problem as a line of a message. */
const problemLine = (problem: Problem): string => brokenError('', [problem], '').message.split('\n  ')[1] ?? '';
const problemsOf = (source: string): string[] => (readConfig(source, SCHEMA).problems ?? []).map(problemLine);

describe('A configuration', () => {
  it('is read into the value that its schema makes, with the line of each key', () => {
    const source = '\ufeffname = "x" # who\r\n[network]\r\nlisten = [\r\n  "/a", # first\r\n]\r\nnetwork-less = 1\r\n';
    const reading = readConfig(source.replace('network-less = 1\r\n', 'mdns = false\r\n'), SCHEMA);
    if (reading.problems !== undefined) return expect.fail(reading.problems.map(problemLine).join());
    expect(reading.value).to.deep.equal({ name: 'x', network: { listen: ['/a'], mdns: false } });
    expect([...reading.entries].map(([key, { line }]) => [key, line])).to.deep.equal([
      ['name', 1],
      ['network.listen', 3],
      ['network.mdns', 6],
    ]);
    expect(problemsOf('')).to.deep.equal([]);
  });

  it('is the same in each of the ways in which TOML writes sections', () => {
    for (const source of [
      '[network]\nport = 1',
      'network.port = 1',
      'network = { port = 1 }',
      '["network"]\n\'port\' = 0x1',
    ])
      expect(readConfig(source, SCHEMA), source).to.have.deep.property('value', { network: { port: 1 } });
  });

  const mistakes: Record<string, [source: string, problems: string[]]> = {
    'a key that is misspelled': [
      '[network]\nlisen = []',
      ['line 2, column 1: network.lisen: this key is not known; did you mean network.listen?'],
    ],
    'a key in another style': [
      '[network]\n  maxConnections = 1\n  max_connections = 1',
      [
        'line 2, column 3: network.maxConnections: this key is not known; did you mean network.max-connections?',
        'line 3, column 3: network.max_connections: this key is not known; did you mean network.max-connections?',
      ],
    ],
    'a key outside of its section': [
      'port = 1',
      ['line 1, column 1: port: this key is not known; did you mean network.port?'],
    ],
    'a key like no other': ['[rate]\nsideways = 1', ['line 2, column 1: rate.sideways: this key is not known']],
    'a section that is misspelled, once for all that is in it': [
      '[netwrok]\nport = 1\nlisen = 2',
      ['line 1, column 2: netwrok: this section is not known; did you mean network?'],
    ],
    'a section like no other': ['[x]', ['line 1, column 2: x: this section is not known; there are [network], [rate]']],
    'names that objects have by themselves': [
      '__proto__ = 1\n[constructor]\nprototype = 1\n[network.__proto__]\nx = 1',
      [
        'line 1, column 1: __proto__: this key is not known',
        'line 2, column 2: constructor: this section is not known; there are [network], [rate]',
        'line 4, column 2: network.__proto__: this section is not known; there are [network], [rate]',
      ],
    ],
    'values of other types, all of them': [
      '[network]\nport = "x"\nmdns = 1\nlisten = [\n "/a",\n 2]\n[rate]\nup = 1979-05-27\ndown = {}',
      [
        'line 2, column 8: network.port: "x" is not a port; write it like port = 4001',
        'line 3, column 8: network.mdns: 1 is not true or false; write it like mdns = true',
        'line 6, column 2: network.listen: 2 has no place in a list of addresses; write it like listen = ["/a", "/b"]',
        'line 8, column 6: rate.up: 1979-05-27 is not a rate; write it like up = "5 MB/s"',
        'line 9, column 8: rate.down: {} is not a rate; write it like down = "5 MB/s"',
      ],
    ],
    'numbers that are none here': [
      '[network]\nport = 99999999999999999999\nmax-connections = nan',
      [
        'line 2, column 8: network.port: 99999999999999999999 is not a port; write it like port = 4001',
        'line 3, column 19: network.max-connections: nan is not a number; write it like max-connections = 300',
      ],
    ],
    'lists in lists': [
      '[network]\nlisten = [["/a"]]',
      [
        'line 2, column 11: network.listen: ["/a"] has no place in a list of addresses; write it like listen = ["/a", "/b"]',
      ],
    ],
    'keys that do not go together': [
      '[network]\nlisten = []\nport = 1',
      ['line 3, column 1: network.port: not with listen'],
    ],
    'a section as a value': [
      'network = 1',
      ['line 1, column 1: network: it is a section, and no key that could be 1; write [network], and its keys below'],
    ],
    'a section in a list': [
      '[[network]]\nport = 1',
      ['line 1, column 3: network: it is one section, and no list of them; write [network], once'],
    ],
    'a key as a section': [
      '[network.port]\nx = 1',
      ['line 1, column 2: network.port: it is a key, and no section; write port = … below [network]'],
    ],
    'something below a key': [
      'network.port.x = 1',
      ['line 1, column 1: network.port.x: network.port is a key, and has none below it'],
    ],
    'a key twice': [
      '[network]\nport = 1\n\n[rate]\nup = ""\nup = ""',
      ['line 6, column 1: rate.up: it stands here a second time, after line 5; leave one of them'],
    ],
    'a section twice': [
      '[rate]\n[network]\n[rate]',
      ['line 3, column 2: rate: it stands here a second time, after line 1; leave one of them'],
    ],
    'a text without quotation marks': [
      '[rate]\nup = 5 MB/s',
      ['line 2, column 8: rate.up: 5 MB/s is not a value; texts stand between quotation marks: up = "5 MB/s"'],
    ],
    'a word where there is no text': [
      '[network]\nmdns = True',
      ['line 2, column 8: network.mdns: True is not a value; write it like mdns = true'],
    ],
    'a key without a value': [
      '[network]\nport =\nmdns = true',
      ['line 2, column 6: network.port: there is no value behind "="; write it like port = 4001'],
    ],
    'a line without "="': [
      '[network]\nmdns true',
      ['line 2, column 6: there is no "=" behind the key; write key = value'],
    ],
    'a text without an end': [
      '[rate]\nup = "5',
      ['line 2, column 8: rate.up: a text is not closed; put a quotation mark at its end'],
    ],
    'a list without an end': [
      '[network]\nlisten = ["/a",\nport = 1',
      ['line 2, column 15: network.listen: a list is not closed, or holds what is no value; put a ] at its end'],
    ],
    'two keys on one line': [
      '[network]\nport = 1 mdns = true',
      [
        'line 2, column 10: network.port: something stands behind the value; put texts between quotation marks, and the next key on a new line',
      ],
    ],
    'what only a later TOML has': [
      'network = {\n port = 1 }',
      ['line 2, column 2: port: a table between { } takes one line; write a [section] instead'],
    ],
    'what a terminal could obey': ['name = "\u001b[2J"', ['line 1, column 9: name: there is a control character']],
  };
  for (const [what, [source, problems]] of Object.entries(mistakes)) {
    it(`tells of ${what}, with its line`, () => expect(problemsOf(source)).to.deep.equal(problems));
  }

  it('escapes what it repeats, and cuts what is long', () => {
    const [problem = ''] = problemsOf(`"\\u202e${'x'.repeat(1000)}" = 1`);
    expect(problem).to.match(/^line 1, column 1: "\\u202ex{79}…": this key is not known$/);
    expect(problemsOf(`name = [ "${'y'.repeat(1000)}" ]`)[0]).to.have.length.below(140);
  });

  it('is refused, and not crashed by, where it is made to be hard to read', () => {
    const half = MAX_CONFIG_BYTES / 2;
    const hard = [
      `name = ${'['.repeat(half)}${']'.repeat(half)}`,
      `name = ${'{a='.repeat(half / 3)}`,
      `name = ${'{a='.repeat(5000)}1${'}'.repeat(5000)}`,
      `a${'.a'.repeat(half)} = 1`,
      `[${'a.'.repeat(half)}a]`,
      Array.from({ length: 5000 }, (_, n) => `k${n} = 1`).join('\n'),
    ];
    for (const source of hard) expect(problemsOf(source), source.slice(0, 40)).not.to.be.empty;
  });

  it('has a problem or a value, whatever the text', () => {
    const piece = fc.constantFrom(
      '[network]',
      '[',
      ']',
      'port',
      ' = ',
      '=',
      '1',
      '"',
      "'''",
      '\n',
      ',',
      '{',
      '}',
      '#',
      'rate.up',
      '\\',
      '\r',
      'é',
    );
    fc.assert(
      fc.property(
        fc.array(piece).map(pieces => pieces.join('')),
        source => {
          for (const { line, column, what } of readConfig(source, SCHEMA).problems ?? []) {
            expect(line).to.be.within(1, source.split('\n').length);
            expect(column).to.be.within(1, source.length + 1);
            expect(what).not.to.equal('');
          }
        },
      ),
    );
  });
});

describe('A change of a configuration', () => {
  const set = (source: string, key: string, value: TomlValue): string => {
    const tree = parseConfig(source);
    if ('what' in tree) return expect.fail(problemLine(tree));
    return withKey(source, tree, key.split('.'), value);
  };
  const unset = (source: string, key: string): string => {
    const tree = parseConfig(source);
    if ('what' in tree) return expect.fail(problemLine(tree));
    return withoutKey(source, tree, key.split('.'));
  };

  it('replaces a value and nothing else', () => {
    const source = '# a\n[network] # b\n  port=1   # c\n\n  listen = ["/x"]\n# d';
    expect(set(source, 'network.port', 2)).to.equal(source.replace('1', '2'));
    expect(set('network = { port = 1, mdns = true } # x\n', 'network.port', 2)).to.equal(
      'network = { port = 2, mdns = true } # x\n',
    );
    expect(set('network.port = 1\r\n', 'network.port', 2)).to.equal('network.port = 2\r\n');
  });

  it('keeps the comments of a list that it replaces or removes', () => {
    const source = '[network]\n  listen = [ # all\n    "/a", # one\n  ] # end\nport = 1\n';
    const expected = '[network]\n  # all\n  # one\n  listen = ["/b"] # end\nport = 1\n';
    expect(set(source, 'network.listen', ['/b'])).to.equal(expected);
    expect(unset(source, 'network.listen')).to.equal('[network]\n  # all\n  # one\n  # end\nport = 1\n');
  });

  it('puts a new key where the template shows it, else behind the last of its section', () => {
    expect(
      set('[network]\n#mdns = true\n# about port\n#port = 1\n\n#listen = []\n[rate]\n', 'network.port', 2),
    ).to.equal('[network]\n#mdns = true\n# about port\n#port = 1\nport = 2\n\n#listen = []\n[rate]\n');
    expect(set('[network]\n\tmdns = true # x\n\n# about rates\n[rate]\n', 'network.port', 2)).to.equal(
      '[network]\n\tmdns = true # x\n\tport = 2\n\n# about rates\n[rate]\n',
    );
    expect(set('[rate]\n#port = 1\n[network] # x\n[a]', 'network.port', 2)).to.equal(
      '[rate]\n#port = 1\n[network] # x\nport = 2\n[a]',
    );
    // A line of a text that looks like a comment is none.
    expect(set('[rate]\nup = """\n#down = 1\n"""\n', 'rate.down', 'x')).to.equal(
      '[rate]\nup = """\n#down = 1\n"""\ndown = "x"\n',
    );
  });

  it('adds to sections in whatever way they are written, and adds those that are missing', () => {
    expect(set('network = {}\n', 'network.port', 2)).to.equal('network = { port = 2 }\n');
    expect(set('network = { mdns = true }', 'network.port', 2)).to.equal('network = { mdns = true, port = 2 }');
    expect(set('network.mdns = true', 'network.port', 2)).to.equal('network.mdns = true\nnetwork.port = 2\n');
    expect(set('# end', 'network.port', 2)).to.equal('# end\n\n[network]\nport = 2\n');
    expect(set('name = "x"\r\n', 'network.port', 2)).to.equal('name = "x"\r\n\r\n[network]\r\nport = 2\r\n');
    expect(set('', 'network.port', 2)).to.equal('[network]\nport = 2\n');
    expect(set('# a\n\n[rate]\n', 'name', 'x')).to.equal('# a\n\nname = "x"\n\n[rate]\n');
  });

  it('removes a line, but not the comment on it', () => {
    expect(unset('[network]\nport = 1\nmdns = true\n', 'network.port')).to.equal('[network]\nmdns = true\n');
    expect(unset('[network]\r\n  port = 1 # why\r\nmdns = true', 'network.port')).to.equal(
      '[network]\r\n  # why\r\nmdns = true',
    );
    expect(unset('network = { port = 1 }', 'network.port')).to.equal('network = {  }');
    expect(unset('network = { port = 1, mdns = true }', 'network.port')).to.equal('network = { mdns = true }');
    expect(unset('network = { mdns = true, port = 1 }', 'network.port')).to.equal('network = { mdns = true }');
    expect(unset('[network]\n', 'network.port')).to.equal('[network]\n');
  });

  const value = {
    name: fc.string({ unit: 'grapheme' }),
    'network.listen': fc.array(fc.string()),
    'network.mdns': fc.boolean(),
    'network.max-connections': fc.maxSafeInteger(),
    'rate.up': fc.string({ unit: 'binary-ascii' }),
  } as const;
  type Key = keyof typeof value;
  const change = fc
    .constantFrom(...(Object.keys(value) as Key[]))
    .chain(key => fc.tuple(fc.constant(key), value[key] as fc.Arbitrary<TomlValue>));
  const template = templateOf(SCHEMA, ['Head.']);
  const written = [
    template,
    '',
    'name = "x"\r\nrate.up = "y" # keep 1\r\n[network] # keep 2\r\nlisten = [ # keep 3\r\n "/a" ]\r\n\r\n# keep 4',
    'network = { mdns = true, listen = ["/a"] } # keep 1\n# keep 2',
    "[rate]\n  # keep 1\n  up = 'z' # keep 2\n# keep 3\n[network]\n#listen = 1\n",
  ];

  it('is read back as it was made, leaves all other keys and comments as they are, and is undone by removing it', () => {
    const valuesOf = (source: string): Map<string, TomlValue> => {
      const reading = readConfig(source, SCHEMA);
      if (reading.problems !== undefined) return expect.fail(`${reading.problems.map(problemLine).join()}\n${source}`);
      return new Map([...reading.entries].map(([key, { given }]) => [key, given]));
    };
    const commentsOf = (source: string): string[] => {
      const tree = parseConfig(source);
      return 'what' in tree ? expect.fail(tree.what) : tree.comments.map(comment => comment.value.trimEnd()).sort();
    };
    fc.assert(
      fc.property(fc.constantFrom(...written), fc.array(change, { maxLength: 6 }), (first, changes) => {
        let source = first;
        const expected = valuesOf(first);
        for (const [key, given] of changes) {
          const isNew = !expected.has(key);
          const next = set(source, key, given);
          expected.set(key, given);
          expect([...valuesOf(next)].sort()).to.deep.equal([...expected].sort());
          expect(commentsOf(next)).to.deep.equal(commentsOf(first));
          if (isNew && source === template) expect(unset(next, key)).to.equal(source);
          source = next;
        }
        for (const key of expected.keys()) source = unset(source, key);
        expect([...valuesOf(source)]).to.deep.equal([]);
        expect(commentsOf(source)).to.deep.equal(commentsOf(first));
      }),
    );
  });
});

describe('The template of a configuration', () => {
  it('shows each key as a comment, with what it does, and says nothing that is not so already', () => {
    const template = templateOf(SCHEMA, ['One.', 'Two.']);
    expect(template.split('\n').slice(0, 9)).to.deep.equal([
      '# One.',
      '# Two.',
      '',
      '# A text. For example:',
      '#name = "ann"',
      '',
      '# How it meets others.',
      '[network]',
      '',
    ]);
    expect(readConfig(template, SCHEMA)).to.have.deep.property('value', {});
    const all = template.replaceAll(/^#(?=[a-z])/gm, '').replace(/^listen.*$/m, '');
    expect(readConfig(all, SCHEMA).problems).to.equal(undefined);
  });
});
