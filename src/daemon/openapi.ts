/** The description of the API for other programs (OpenAPI 3.1), made from the schemas that check it. */
import { z } from 'zod';
import type { ActionName } from './actions.ts';
import { EVENT, PARAMETERS, RESULTS } from './schemas.ts';
import { VERSION } from '../version.ts';

/** What each action does, for people. */
const SUMMARIES: Readonly<Record<ActionName, string>> = {
  share: 'Encrypt a file or folder in place and serve it. The answer ends when serving does, or at once with "always".',
  resolve: 'What a link without a key names: a share, or a grant, whose block comes back.',
  grant: 'Grant a share of this home to chosen people, or to who knows a passphrase. No block of the share is touched.',
  serve: 'Serve a share that is there already, as long as the asker stays.',
  fetch: 'Fetch what a link names. When the asker goes away it stops, and the next one goes on from there.',
  plan: 'What a fetch would do now; nothing is written.',
  check: 'Whether a local copy is what a link names.',
  seed: 'Carry a share: get its encrypted blocks and serve them, as long as the asker stays or there is a daemon.',
  show: 'A share of this home in full.',
  list: 'Names and sizes of what a link names.',
  shares: 'The shares of this home.',
  forget: 'Stop serving a share here and forget it; files stay.',
  export: 'Write the encrypted blocks of a share to a CAR file.',
  import: 'Take in the blocks of a CAR file.',
  status: 'How the process that holds the home stands.',
  peers: 'The peers that it is connected to.',
  transfer: 'Fetch what a link names, without the asker having to stay.',
  transfers: 'The fetches that are under way, paused, failed or done.',
  pause: 'Pause a transfer, or stop serving a share whenever there is a daemon.',
  resume: 'Go on with a transfer, or serve a share whenever there is a daemon.',
  cancel: 'End a transfer and remove what it has fetched so far.',
  relays: 'The relays of this home.',
  relay: 'One relay of this home, and what it tells of itself.',
  addRelay: 'Use a relay from now on, by its origin or a multiaddr.',
  removeRelay: 'Use a relay no more; what it keeps, it keeps until its leases end.',
  contacts: 'Whom shares of this home are granted to, by name.',
  addContact: 'Give an age recipient a name.',
  removeContact: 'Forget the name of a recipient.',
  verify: 'Ask everybody who is found what they have of a share, and have them show it.',
  withdraw: 'Withdraw a share or grant of this home for good, and tell those who have it and can be reached now.',
  doctor: 'Look for what may be wrong with the node and its shares.',
  events: 'Tell what happens, until the asker goes away: transfers, peers that are served, shares that end.',
  daemon: 'Be the daemon of this home, as long as the asker stays.',
  stop: 'Stop the daemon.',
};

/** Actions that only look, and can be asked for by GET too, as they have no parameters. */
export const LOOKING: readonly ActionName[] = [
  'shares',
  'status',
  'peers',
  'relays',
  'contacts',
  'transfers',
  'events',
];

/** Answers of a failed action have these statuses where the asker wants no events. */
export const STATUS_OF: Readonly<Record<string, number>> = {
  usage: 400,
  'bad-link': 400,
  'key-missing': 400,
  'unknown-share': 404,
  'not-found': 404,
  exists: 409,
  'in-use': 409,
  'disk-full': 507,
};

const NDJSON = 'application/x-ndjson';
const SSE = 'text/event-stream';
const SCHEMAS = '#/components/schemas/';

/** The document, as plain data. */
export function openApi(): object {
  const names = Object.keys(PARAMETERS) as ActionName[];
  const paths = names.map(name => [
    `/v1/${name}`,
    { post: operation(name, name), ...(LOOKING.includes(name) ? { get: operation(name, `get-${name}`) } : {}) },
  ]);
  return {
    openapi: '3.1.0',
    info: {
      title: 'shoal',
      version: VERSION,
      summary: 'What the process that holds a home can be asked to do.',
      description:
        'An action answers with events as they happen, one JSON object a line, and in the end with "done" and its result or ' +
        '"failed". Accept: text/event-stream gives the same as server-sent events, Accept: application/json the result alone. ' +
        'When the asker goes away, the action is stopped. Fields and events may be added; skip those you do not know.',
      license: { name: 'Apache-2.0 OR MIT', identifier: 'Apache-2.0 OR MIT' },
    },
    servers: [
      { url: 'http://localhost', description: 'The Unix socket of the home.' },
      { url: 'http://127.0.0.1:{port}', description: 'With --api-listen.', variables: { port: { default: '4700' } } },
    ],
    security: [{}, { token: [] }],
    paths: Object.fromEntries(paths) as object,
    components: {
      schemas: { ...parameterSchemas(names), ...resultSchemas(names), Failure: FAILURE },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'Over TCP only: the content of api-token in the home.' },
      },
    },
  };
}

function operation(name: ActionName, operationId: string): object {
  const events = { description: 'Events, and the ending.', schema: { type: 'string' } };
  const parameters = { 'application/json': { schema: { $ref: `${SCHEMAS}${parametersName(name)}` } } };
  return {
    operationId,
    summary: SUMMARIES[name],
    ...(operationId === name ? { requestBody: { required: false, content: parameters } } : {}),
    responses: {
      200: {
        description: 'The action was begun, or with Accept: application/json is done.',
        content: {
          'application/json': { schema: { $ref: `${SCHEMAS}${resultName(name)}` } },
          [NDJSON]: { schema: events.schema },
          [SSE]: { schema: events.schema },
        },
      },
      default: {
        description: 'It failed; with events, the ending says so instead.',
        content: { 'application/json': { schema: { $ref: `${SCHEMAS}Failure` } } },
      },
    },
  };
}

const FAILURE = {
  type: 'object',
  properties: { event: { const: 'failed' }, code: { type: 'string' }, message: { type: 'string' } },
  required: ['event', 'code', 'message'],
};

function parametersName(name: ActionName): string {
  return `Parameters.${name}`;
}

function resultName(name: ActionName): string {
  return `Result.${name}`;
}

function parameterSchemas(names: readonly ActionName[]): object {
  const registry = z.registry<{ id: string }>();
  for (const name of names) registry.add(PARAMETERS[name], { id: parametersName(name) });
  return schemasOf(registry, 'input');
}

/** What is told may get further fields, so nothing forbids them. */
function resultSchemas(names: readonly ActionName[]): object {
  const registry = z.registry<{ id: string }>();
  const results = new Map<z.ZodType, string>();
  for (const name of names) results.set(RESULTS[name], results.get(RESULTS[name]) ?? resultName(name));
  for (const [schema, id] of results) registry.add(schema, { id });
  registry.add(EVENT, { id: 'Event' });
  const same = names.filter(name => results.get(RESULTS[name]) !== resultName(name));
  const links = same.map(name => [resultName(name), { $ref: `${SCHEMAS}${results.get(RESULTS[name]) ?? ''}` }]);
  return { ...schemasOf(registry, 'output'), ...(Object.fromEntries(links) as object) };
}

function schemasOf(registry: z.core.$ZodRegistry<{ id: string }>, io: 'input' | 'output'): object {
  const { schemas } = z.toJSONSchema(registry, {
    io,
    uri: id => SCHEMAS + id,
    override: ({ jsonSchema }) => {
      if (io === 'output') delete jsonSchema.additionalProperties;
      // A limit that only says what numbers can be.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum;
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum;
    },
  });
  const plain = Object.entries(schemas).map(([name, { $schema: _schema, $id: _id, ...schema }]) => [name, schema]);
  return Object.fromEntries(plain) as object;
}
