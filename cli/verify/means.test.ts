import { freshToken, judge, type Shot } from './means.ts';

/** A path that carries those shots whose name it lets through. */
function path(passes: (what: string) => boolean): (what: string) => Shot {
  const arrived: Buffer[] = [];
  const find = (token: Buffer) =>
    arrived.some((one) => one.equals(token)) ? { bytes: token, outgoing: false } : undefined;
  return (what) => {
    const token = freshToken();
    const fire = (): void => void (passes(what) && arrived.push(token));
    return { what, token, fire, seenBy: [{ find }] };
  };
}

describe('judge', () => {
  it('finds a drop when the controls came and the rest did not', async () => {
    const shot = path((what) => what === 'honest');
    expect(await judge([shot('forged')], [shot('honest')])).toEqual({ got: 'drop' });
  });

  it('names what came through', async () => {
    const shot = path(() => true);
    const finding = await judge(['one', 'two', 'three', 'four'].map(shot), [shot('honest')]);
    expect(finding).toEqual({ got: 'pass', note: 'came through: one; two; three; and 1 more' });
  });

  it('proves nothing when a control was lost, because then everything may have been', async () => {
    const shot = path(() => false);
    expect(await judge([shot('forged')], [shot('honest')])).toMatchObject({
      got: 'error',
      note: expect.stringContaining('honest'),
    });
  });

  it('does not excuse what came through by a lost control', async () => {
    const shot = path((what) => what === 'forged');
    expect(await judge([shot('forged')], [shot('honest')])).toMatchObject({ got: 'pass' });
  });
});
