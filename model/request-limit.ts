/** A limit of new connections that holds only while a container is busy. */
import * as z from 'zod';

export const RequestLimit = z.strictObject({
  /** The container's load beyond which it holds: tasks that run or wait for a disk, on average. */
  load: z.number().positive().max(100_000),
  /** New connections a second to all its published ports together, while it holds. */
  newPerSecond: z.int().min(1).max(1_000_000),
  /** Over how long the load is averaged, in seconds; 60 is the kernel's shortest. */
  averageSeconds: z.int().min(5).max(900).default(60),
});
export type RequestLimit = z.infer<typeof RequestLimit>;
