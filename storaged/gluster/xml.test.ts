import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { at, childrenOf, parseXml, textAt, type XmlElement } from './xml.ts';

describe('parseXml', () => {
  it('reads elements, attributes, text between elements, and references', () => {
    const root = parseXml('<?xml version="1.0"?>\n<a k="1 &amp; 2">x<b/>y &lt;&#65;&#x42;<b>z</b></a>\n');
    expect(root.attributes.get('k')).toBe('1 & 2');
    expect(root.text).toBe('xy <AB');
    expect(childrenOf(root, 'b').map(({ text }) => text)).toEqual(['', 'z']);
    expect(textAt(root, 'b')).toBe('');
    expect(at(root, 'c', 'd')).toBeUndefined();
    expect(() => textAt(root, 'c')).toThrow('a/c');
  });

  it.each([
    '',
    'text',
    '<a>',
    '</a>',
    '<a></b>',
    '<a/><b/>',
    '<a><!-- c --></a>',
    '<!DOCTYPE a><a/>',
    '<a><![CDATA[x]]></a>',
    "<a k='1'/>",
    '<a k=1/>',
    '<a',
    `${'<a>'.repeat(40)}${'</a>'.repeat(40)}`,
  ])('refuses %j', (document) => {
    expect(() => parseXml(document)).toThrow('gluster has printed something that is no XML of its kind');
  });

  it('reads back what was written', () => {
    const escaped = (text: string): string =>
      text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
    const write = ({ name, attributes, children, text }: XmlElement): string =>
      `<${name}${[...attributes].map(([key, value]) => ` ${key}="${escaped(value)}"`).join('')}>${escaped(text)}${children.map(write).join('')}</${name}>`;
    const name = fc.stringMatching(/^[A-Za-z_][\w.-]{0,8}$/);
    const element = (children: fc.Arbitrary<XmlElement[]>): fc.Arbitrary<XmlElement> =>
      fc.record({
        name,
        attributes: fc
          .uniqueArray(fc.tuple(name, fc.string()), { selector: ([key]) => key })
          .map((all) => new Map(all)),
        children,
        text: fc.string(),
      });
    const leaf = element(fc.constant([]));
    const tree = element(fc.array(element(fc.array(leaf, { maxLength: 3 })), { maxLength: 3 }));
    fc.assert(fc.property(tree, (one) => expect(parseXml(write(one))).toEqual(one)));
  });

  it('ends on any input', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('<', '>', '/', 'a', ' ', '"', '=', '&', ';', '#') }),
        (document) => {
          try {
            parseXml(document);
          } catch (error) {
            expect(error).toMatchObject({ code: 'storage_failed' });
          }
        },
      ),
    );
  });
});
