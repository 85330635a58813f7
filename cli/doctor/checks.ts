/** All checks, in the order in which they are shown. */
import { checkCarriers } from './carrier-checks.ts';
import type { Finding, MachineFacts, ThoroughFacts } from './facts.ts';
import * as machine from './machine-checks.ts';
import { checkMarks } from './mark-checks.ts';
import * as network from './network-checks.ts';
import * as node from './node-checks.ts';
import { checkStorage } from './storage-checks.ts';

/** What must hold before a node is put up; `sluice up` refuses when one of these fails. */
export function machineFindings(facts: MachineFacts): Finding[] {
  return [
    machine.checkRoot(facts),
    machine.checkObject(facts),
    machine.checkSocketPaths(facts),
    machine.checkPermissions(facts),
    machine.checkRoom(facts),
    network.checkUplink(facts),
    network.checkMtu(facts),
    network.checkPools(facts),
    network.checkFirewalls(facts),
    network.checkBridgeNetfilter(facts),
    network.checkReversePath(facts),
  ];
}

export function allFindings(facts: ThoroughFacts): Finding[] {
  return [
    ...machineFindings(facts),
    ...node.checkFeatures(facts),
    node.checkPlane(facts),
    node.checkOffloads(facts),
    node.checkForwarding(facts),
    checkMarks(facts),
    node.checkFastPath(facts),
    node.checkIpv6(facts),
    ...checkCarriers(facts),
    node.checkFence(facts),
    ...checkStorage(facts),
    node.checkDaemons(facts),
    node.checkVersions(facts),
    node.checkClock(facts),
  ];
}
