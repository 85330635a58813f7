/** Loads what storaged otherwise loads when it is first needed, so that set-up compiles all of it (scripts/setup.sh). */
import './bricks/keeper.ts';
import './gluster/cluster.ts';
import './gluster/command.ts';
import './gluster/daemon.ts';
import './metrics.ts';
import './mounts/keeper.ts';
import './mounts/shared-buckets.ts';
