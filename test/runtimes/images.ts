/** The images that tests run, made once from the machine's own busybox. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { IMAGE, makeImage } from '../../cli/sample/podman.ts';
import { runOk } from '../../linux/process.ts';

export interface Image {
  readonly name: string;
  /** A docker-archive. */
  readonly archive: string;
}

const ROOT = path.resolve(import.meta.dirname, '../..');
const PAUSE = 'localhost/sluice-pause:1';

/** A shell and the usual tools; it sleeps unless told otherwise, and has a web page in /www. */
export async function shellImage(): Promise<Image> {
  const archive = path.join(ROOT, 'build/sample-image.tar');
  if (!existsSync(archive)) await makeImage(path.join(ROOT, 'test/images/busybox.sh'), archive);
  return { name: IMAGE, archive };
}

/** What holds the namespaces of a pod. */
export async function pauseImage(): Promise<Image> {
  const archive = path.join(ROOT, 'build/pause-image.tar');
  const script = path.join(ROOT, 'test/images/pause.sh');
  if (!existsSync(archive)) await runOk(['sh', script, path.join(ROOT, 'build/pause'), PAUSE, archive]);
  return { name: PAUSE, archive };
}
