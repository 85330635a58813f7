import { Tenant } from '../model/cluster.ts';
import { asSluiceError } from '../model/errors.ts';
import { NamespaceName, TenantName } from '../model/names.ts';
import { decideTenant } from './tenant.ts';

const blue = TenantName.parse('blue');
const red = TenantName.parse('red');
const green = TenantName.parse('green');
const ghost = TenantName.parse('ghost');
const mapped = NamespaceName.parse('shop');
const unmapped = NamespaceName.parse('other');
const haunted = NamespaceName.parse('haunted');

const tenants = new Map(
  [blue, red, green].map((tenant, i) => [tenant, Tenant.parse({ tenant, tag: i + 1, createdAt: 0 })]),
);
const namespaceMap = new Map([
  [mapped, green],
  [haunted, ghost],
]);

interface Ask {
  argument?: TenantName;
  trust?: boolean;
  namespace?: NamespaceName;
  network?: TenantName;
}

/** The tenant's name, or the code of the refusal. */
function decide({ argument, trust = false, namespace, network }: Ask): string {
  try {
    const conf = { trustArgs: trust, tenant: network };
    const args = { tenant: argument ?? null, podNamespace: namespace ?? null };
    return decideTenant({ conf, args, namespaceMap, tenants }).tenant;
  } catch (thrown) {
    return asSluiceError(thrown).code;
  }
}

describe('decideTenant', () => {
  const rows: [string, Ask, string][] = [
    ['a trusted argument', { argument: blue, trust: true }, 'blue'],
    [
      'a trusted argument, over everything else',
      { argument: blue, trust: true, namespace: mapped, network: red },
      'blue',
    ],
    ['the namespace', { namespace: mapped }, 'green'],
    ['the namespace, over the network', { namespace: mapped, network: red }, 'green'],
    ['the network', { network: red }, 'red'],
    ['the network, where the namespace is mapped to none', { namespace: unmapped, network: red }, 'red'],
    ['the network, which trusts arguments and got none', { trust: true, network: red }, 'red'],
    ['nobody', {}, 'refused'],
    ['nobody, for a namespace that is mapped to none', { namespace: unmapped }, 'refused'],
    ['an argument that is not trusted', { argument: blue, network: red }, 'refused'],
    [
      'an argument that is not trusted and says what is decided anyway',
      { argument: red, network: red },
      'red',
    ],
    ['an argument that is not trusted, where nothing else decides', { argument: red }, 'refused'],
    [
      'an argument that is not trusted, against the namespace',
      { argument: red, namespace: mapped, network: red },
      'refused',
    ],
    [
      'an argument that names no tenant does not fall back',
      { argument: ghost, trust: true, network: red },
      'unknown_tenant',
    ],
    [
      'a namespace mapped to no tenant does not fall back',
      { namespace: haunted, network: red },
      'unknown_tenant',
    ],
    ['a network of no tenant', { network: ghost }, 'unknown_tenant'],
  ];
  it.each(rows)('%s', (_, ask, expected) => {
    expect(decide(ask)).toBe(expected);
  });
});
