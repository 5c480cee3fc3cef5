import { isAddressAllowed, isNetwork } from './address-rules.js';

describe('which addresses may be dialled', () => {
  it.each(['8.8.8.8', '93.184.216.34', '2606:4700::1111', '2a00:1450:4001::1', '::ffff:8.8.8.8'])(
    '%s may',
    (address) => {
      expect(isAddressAllowed(address, [])).toBe(true);
    },
  );

  it.each([
    ['private', ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fd00:ec2::254']],
    ['loopback', ['127.0.0.1', '127.255.0.1', '::1']],
    ['this network', ['0.0.0.0', '0.1.2.3', '::']],
    ['link-local and metadata', ['169.254.169.254', 'fe80::1', 'fe80::1%eth0']],
    ['shared', ['100.64.0.1', '100.127.255.255']],
    ['special', ['192.0.0.1', '192.88.99.1', '198.18.0.1', '198.19.255.255', '100::1', '5f00::1']],
    ['documentation', ['192.0.2.1', '198.51.100.1', '203.0.113.1', '2001:db8::1', '3fff::1']],
    ['multicast and reserved', ['224.0.0.1', '240.0.0.1', '255.255.255.255', 'ff02::1']],
    ['mapped', ['::ffff:127.0.0.1', '::ffff:7f00:1', '::ffff:10.0.0.1', '0:0:0:0:0:ffff:a9fe:a9fe']],
    ['IPv4 inside IPv6', ['::7f00:1', '::127.0.0.1', '64:ff9b::7f00:1', '64:ff9b:1::1', '2002:7f00:1::', '2001::1']],
    ['unallocated', ['4000::1', '8000::1', 'e000::1']],
    ['no address', ['', 'localhost', '127.0.0.1:80', 'example.com']],
  ])('%s may not', (_what, addresses) => {
    for (const address of addresses) expect([address, isAddressAllowed(address, [])]).toEqual([address, false]);
  });

  it('lets a list of networks say otherwise, also for mapped addresses, and only for what is inside', () => {
    const allowed = ['10.1.0.0/16', 'fd00::/8'];
    expect(isAddressAllowed('10.1.2.3', allowed)).toBe(true);
    expect(isAddressAllowed('::ffff:10.1.2.3', allowed)).toBe(true);
    expect(isAddressAllowed('fd12::1', allowed)).toBe(true);
    expect(isAddressAllowed('10.2.0.1', allowed)).toBe(false);
    expect(isAddressAllowed('fc00::1', allowed)).toBe(false);
  });

  it('knows networks', () => {
    expect(['127.0.0.0/8', '::1/128'].every(isNetwork)).toBe(true);
    expect(['127.0.0.1', '10.0.0.0/33', 'x/8', ''].some(isNetwork)).toBe(false);
  });
});
