/** The `sluice` command: a daemon in the foreground, or one of the commands people type. */
const [word, ...rest] = process.argv.slice(2);
const isHelp = rest.includes('--help') || rest.includes('-h');

/** Daemons take a way of their own: what the other commands need would only cost them memory. */
async function main(): Promise<number> {
  if (!isHelp) {
    if (word === 'netd') return (await import('./roles/netd.ts')).netd(rest);
    if (word === 'tagqueue') return (await import('./roles/tagqueue.ts')).tagqueue(rest);
    if (word === 'storaged') return (await import('./roles/storaged.ts')).storaged(rest);
    if (word === 'server') return (await import('./roles/server.ts')).server(rest);
  }
  return (await import('./commands/tree.ts')).runCommand(process.argv.slice(2));
}

// Not process.exit(): output to a pipe would be cut off.
process.exitCode = await main();
