/** Which of a container's files show its own figures, and where lxcfs has them. */

/** Below /proc. */
const PROC = ['cpuinfo', 'meminfo', 'stat', 'uptime', 'loadavg', 'swaps', 'diskstats'] as const;

/** In the container, and the same below the mount of lxcfs. */
export const VIEW_FILES: readonly string[] = [
  ...PROC.map((name) => `/proc/${name}`),
  '/sys/devices/system/cpu/online',
];
