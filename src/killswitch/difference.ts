import type { Family } from '../netlink/family.ts';
import type { Rule } from '../netlink/route/rule.ts';
import { type Address, formatPrefix } from '../wireguard/address.ts';
import type { ContainerNetwork, Protection, ProtectionRoute } from './rules.ts';

/** What is to come and to go, so that routes and rules are as they should be. */
export interface RoutingDifference {
  readonly newRoutes: readonly ProtectionRoute[];
  readonly oldRoutes: readonly ProtectionRoute[];
  readonly newRules: readonly Rule[];
  readonly oldRules: readonly Rule[];
}

/**
 * From what a namespace has of a protection to what it should have of it.
 * @param families that its kernel has
 */
export function routingDifference(
  has: Pick<ContainerNetwork, 'routes' | 'rules'>,
  protection: Pick<Protection, 'routes' | 'rules'>,
  families: readonly Family[],
): RoutingDifference {
  const wanted = ofFamilies(protection, families);
  const present = new Set(has.routes.map(routeText));
  // A new one comes in the place of what is at the same.
  const places = new Set(wanted.routes.map(placeText));
  const rules = families.map((family) => {
    const [present, sought] = [has.rules, wanted.rules].map((list) =>
      list.filter((rule) => rule.family === family),
    );
    return rulesDifference(present ?? [], sought ?? []);
  });
  return {
    newRoutes: wanted.routes.filter((route) => !present.has(routeText(route))),
    oldRoutes: has.routes.filter((route) => !places.has(placeText(route))),
    newRules: rules.flatMap(({ newRules }) => newRules),
    oldRules: rules.flatMap(({ oldRules }) => oldRules),
  };
}

/** All have one priority, and are asked in the order in which they came: from the first that is another on, all are new. */
function rulesDifference(present: readonly Rule[], wanted: readonly Rule[]) {
  const texts = present.map(ruleText);
  const first = wanted.findIndex((rule, index) => ruleText(rule) !== texts[index]);
  const same = first === -1 ? wanted.length : first;
  return { oldRules: present.slice(same).toReversed(), newRules: wanted.slice(same) };
}

export function hasChanges({ newRoutes, oldRoutes, newRules, oldRules }: RoutingDifference): boolean {
  return [newRoutes, oldRoutes, newRules, oldRules].some(({ length }) => length > 0);
}

/** All of it goes, the last rule first: without the first of all, the last would leave connected networks unreachable. */
export function removalOf({ routes, rules }: Pick<Protection, 'routes' | 'rules'>): RoutingDifference {
  return { newRoutes: [], newRules: [], oldRoutes: routes, oldRules: rules.toReversed() };
}

/** Without what a kernel does not have: with `ipv6.disable=1` messages about IPv6 fail. */
function ofFamilies(
  { routes, rules }: Pick<Protection, 'routes' | 'rules'>,
  families: readonly Family[],
): Pick<Protection, 'routes' | 'rules'> {
  return {
    routes: routes.filter(({ destination }) => families.includes(destination.address.kind())),
    rules: rules.filter(({ family }) => families.includes(family)),
  };
}

function placeText({ table, destination, metric }: ProtectionRoute): string {
  return `${table} ${formatPrefix(destination)} ${metric}`;
}

function routeText(route: ProtectionRoute): string {
  return `${placeText(route)} ${route.oif ?? (route.isThrow ? 'throw' : 'unreachable')} ${text(route.gateway)}`;
}

function ruleText({ family, priority, table, mark, suppressPrefixLength }: Rule): string {
  return [family, priority, table, mark, suppressPrefixLength].join(' ');
}

function text(address: Address | undefined): string {
  return address?.toString() ?? '';
}
