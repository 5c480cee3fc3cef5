import ipaddr from 'ipaddr.js';

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** The whole of the unicast space that is handed out; what is outside is unallocated, reserved or embeds an IPv4 address. */
const GLOBAL_UNICAST: [ipaddr.IPv6, number] = [ipaddr.IPv6.parse('2000::'), 3];

/** True for a network in CIDR notation, such as `10.0.0.0/8` or `fd00::/8`. */
export function isNetwork(text: string): boolean {
  return ipaddr.isValidCIDR(text);
}

/**
 * Whether a request may be sent to `address`, an IP address in any spelling; pure.
 *
 * - Only public unicast addresses may be dialled: no private, loopback, link-local, metadata, shared, documentation or multicast ones.
 * - An IPv4-mapped address is judged as the IPv4 address it is. Every other embedding of IPv4 (NAT64, 6to4, Teredo, IPv4-compatible) is
 *   refused, since a gateway could turn it into any address inside.
 * - What `allowed` (networks in CIDR notation) contains is allowed whatever the rules say.
 * - A text that is no IP address is refused.
 */
export function isAddressAllowed(address: string, allowed: readonly string[]): boolean {
  const parsed = parseAddress(address);
  if (parsed === undefined) return false;
  return allowed.some((network) => isInside(parsed, network)) || isPublic(parsed);
}

function parseAddress(text: string): Address | undefined {
  if (!ipaddr.isValid(text) || text.includes('%')) return undefined;
  const address = ipaddr.parse(text);
  return address instanceof ipaddr.IPv6 && address.isIPv4MappedAddress() ? address.toIPv4Address() : address;
}

function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast') return false;
  return address instanceof ipaddr.IPv4 || address.match(GLOBAL_UNICAST);
}

function isInside(address: Address, network: string): boolean {
  const [base, bits] = ipaddr.parseCIDR(network);
  if (address instanceof ipaddr.IPv4) return base instanceof ipaddr.IPv4 && address.match(base, bits);
  return base instanceof ipaddr.IPv6 && address.match(base, bits);
}
