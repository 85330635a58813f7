/**
 * Reads what `gluster --xml` prints: elements, attributes, text and the references of XML 1.0, and nothing else. What
 * is not whole, or holds a document type, a comment or a CDATA section, which Gluster never writes, is refused. Pure.
 */
import { SluiceError } from '../../model/errors.ts';

export interface XmlElement {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: readonly XmlElement[];
  /** Its own, without that of its children. */
  readonly text: string;
}

interface Open {
  readonly name: string;
  readonly attributes: ReadonlyMap<string, string>;
  readonly children: XmlElement[];
  text: string;
}

type Groups = Readonly<Record<string, string | undefined>>;

const PROLOG = /^\s*(?:<\?xml\s[^>]*\?>)?\s*/;
const NAME = '[A-Za-z_][\\w.-]*';
const TOKEN = new RegExp(
  `<(?<close>/)?(?<name>${NAME})(?<attributes>(?:\\s+${NAME}="[^"<]*")*)\\s*(?<empty>/)?>|(?<text>[^<]+)`,
  'y',
);
const ATTRIBUTE = new RegExp(`(${NAME})="([^"<]*)"`, 'g');
const REFERENCE = /&(?:#x([0-9a-fA-F]{1,6})|#(\d{1,7})|(amp|lt|gt|quot|apos));/g;
const LAST_CODE_POINT = 0x10_ff_ff;
const NAMED = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" } as const;
/** Nothing of Gluster's nests deeper; a document that does is not read. */
const DEEPEST = 32;

/** @throws SluiceError `storage_failed` naming the place */
export function parseXml(document: string): XmlElement {
  const top = opened('', new Map());
  const open: Open[] = [top];
  TOKEN.lastIndex = PROLOG.exec(document)?.[0].length ?? 0;
  while (TOKEN.lastIndex < document.length) {
    const place = TOKEN.lastIndex;
    const groups = TOKEN.exec(document)?.groups;
    if (groups === undefined || !take(open, groups)) throw unreadable(document, place);
  }
  const [root, ...more] = top.children;
  if (open.length > 1 || root === undefined || more.length > 0 || top.text.trim() !== '')
    throw unreadable(document, document.length);
  return root;
}

function opened(name: string, attributes: Open['attributes']): Open {
  return { name, attributes, children: [], text: '' };
}

/** @returns whether the token may stand here */
function take(open: Open[], { text, name = '', close, empty, attributes = '' }: Groups): boolean {
  const current = open.at(-1);
  if (current === undefined) return false;
  if (text !== undefined) {
    current.text += resolved(text);
    return true;
  }
  if (close !== undefined) {
    open.pop();
    return open.length > 0 && current.name === name && attributes === '' && empty === undefined;
  }
  const element = opened(name, attributesOf(attributes));
  current.children.push(element);
  if (empty === undefined) open.push(element);
  return open.length <= DEEPEST;
}

function attributesOf(text: string): ReadonlyMap<string, string> {
  return new Map([...text.matchAll(ATTRIBUTE)].map(([, name = '', value = '']) => [name, resolved(value)]));
}

/** What is no reference stays as it is: text is for people, and names of ours have none. */
function resolved(text: string): string {
  return text.replaceAll(REFERENCE, (whole, hex?: string, decimal?: string, named?: keyof typeof NAMED) => {
    if (named !== undefined) return NAMED[named];
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code <= LAST_CODE_POINT ? String.fromCodePoint(code) : whole;
  });
}

function unreadable(document: string, at: number): SluiceError {
  const around = JSON.stringify(document.slice(Math.max(0, at - 40), at + 40));
  return new SluiceError(
    'storage_failed',
    `gluster has printed something that is no XML of its kind, at character ${at}: ${around}`,
    'run the command by hand; another version of Gluster may be installed',
  );
}

/** The child elements of a name; no error where there are none. */
export function childrenOf(element: XmlElement | undefined, name: string): readonly XmlElement[] {
  return element?.children.filter((child) => child.name === name) ?? [];
}

/** The first element at a path of names. */
export function at(element: XmlElement | undefined, ...path: readonly string[]): XmlElement | undefined {
  return path.reduce<XmlElement | undefined>((here, name) => childrenOf(here, name)[0], element);
}

/** The text at a path. @throws SluiceError `storage_failed` when there is no such element */
export function textAt(element: XmlElement, ...path: readonly string[]): string {
  const found = at(element, ...path);
  if (found !== undefined) return found.text.trim();
  throw new SluiceError(
    'storage_failed',
    `gluster's answer has no element ${[element.name, ...path].join('/')}`,
    'another version of Gluster may be installed: sluice doctor names those that are known to work',
  );
}
