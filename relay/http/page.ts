/** The page that a relay shows to people: who runs it, and what it gets to see. Plain HTML; all text is escaped. */
import { escaped } from '../../src/format/quoted.ts';
import { RELAY_INFO_PATH, type RelayInfo } from '../../src/protocol/relay-info.ts';

export function landingPage(info: RelayInfo): string {
  const { name, operator, contact, terms, version, retention, lists } = info;
  const rows: readonly (readonly [title: string, text: string | undefined])[] = [
    ['Operator', operator],
    ['Contact', contact],
    ['Terms', terms],
    ['What is kept', retention],
    ['Lists of refusals that it follows', lists.length === 0 ? 'none' : lists.join(', ')],
    ['Program', `shoal ${version}`],
  ];
  const shown = rows.flatMap(([title, text]) =>
    text === undefined ? [] : [`<dt>${title}</dt><dd>${linked(text)}</dd>`],
  );
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${html(name)}</title></head>
<body>
<h1>${html(name)}</h1>
<p>This is a relay of shoal, a network in which people share files with each other, encrypted. It helps them to reach each other${
    info.roles.store ? ', and keeps encrypted blocks for them while their own machines are off' : ''
  }.</p>
<dl>
${shown.join('\n')}
</dl>
<h2>What a relay sees</h2>
<p>Addresses and peer ids of those who connect, when they do, how much passes, and which share ids they ask for or store.</p>
<p>It does not see what is in a share: neither the content nor the names of files, nor their exact sizes. All of that is encrypted before it gets here, and the keys are in links, which a relay is never given.</p>
<p>Programs read <a href="${RELAY_INFO_PATH}">what the relay tells of itself</a>.</p>
</body>
</html>
`;
}

/** As a link where the whole text is an address of a kind that only shows something, or writes to somebody. */
function linked(text: string): string {
  if (!/^(https?:\/\/|mailto:)[^\s<>"']+$/i.test(text)) return html(text);
  return `<a rel="noopener noreferrer nofollow" href="${html(text)}">${html(text)}</a>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function html(text: string): string {
  return escaped(text).replace(/[&<>"']/g, character => ENTITIES[character]!);
}
