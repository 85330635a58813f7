/** Why a container's group does not have a controller, and what to do about it. */
import { textOf } from '../../linux/cgroup-files.ts';
import type { Controller, Hierarchies } from '../../linux/cgroup-hierarchies.ts';
import type { ContainerCgroup } from '../contract.ts';

interface Asked {
  readonly controller: Controller;
  /** Of the group in the controller's hierarchy, where it has one. */
  readonly directory: string | undefined;
  readonly group: ContainerCgroup;
}

/** @returns undefined where the controller is there */
export function whyLacking({ byController }: Hierarchies, asked: Asked): string | undefined {
  const { controller, directory, group } = asked;
  const hierarchy = byController.get(controller);
  if (hierarchy === undefined) return `this kernel has no controller ${controller}`;
  if (directory === undefined) {
    const path = group.paths.get(controller);
    return path === undefined
      ? `the runtime has given it no group of its own for ${controller}`
      : `its group ${path} is gone for ${controller}`;
  }
  return hierarchy.version === 2 ? whyNotHandedOn(controller, directory) : undefined;
}

/** On v2 a group has a controller's files only where the group around it hands the controller on. */
function whyNotHandedOn(controller: Controller, directory: string): string | undefined {
  const has = textOf(directory, 'cgroup.controllers')?.trim().split(' ') ?? [];
  if (has.includes(controller)) return undefined;
  const parent = directory.slice(0, directory.lastIndexOf('/'));
  return `${controller} is not handed on to it: echo +${controller} >${parent}/cgroup.subtree_control`;
}
