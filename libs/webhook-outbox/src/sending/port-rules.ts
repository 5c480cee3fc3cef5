const LOWEST_FREE_PORT = 1_024;

/**
 * Ports above 1 023 behind which something listens that takes commands from whatever speaks to it, or that nobody means to publish: databases,
 * caches, brokers, cluster managers, remote desktops, and those that browsers refuse (mail, chat, SIP, X11). Addresses decide first; this is
 * for services that are public by mistake.
 */
const REFUSED_PORTS: ReadonlySet<number> = new Set([
  ...[1_433, 1_521, 3_306, 5_432, 5_984, 6_379, 6_380, 7_687, 9_042, 9_160, 11_211, 16_379, 26_379],
  ...[27_017, 27_018, 27_019, 28_015],
  ...[1_883, 4_222, 5_672, 9_092, 9_200, 9_300, 61_613, 61_616],
  ...[2_181, 2_375, 2_376, 2_377, 2_379, 2_380, 4_243, 4_646, 6_443, 8_300, 8_500, 10_250, 10_255],
  ...[1_080, 3_128, 3_389, 5_900, 5_901, 5_985, 5_986, 9_100],
  ...[1_719, 1_720, 1_723, 2_049, 3_659, 4_045, 4_190, 5_060, 5_061, 6_000, 6_566, 10_080],
  ...[6_665, 6_666, 6_667, 6_668, 6_669, 6_679, 6_697],
]);

/** Whether a request may be sent to a port: 443, 80 where `http:` is allowed, and from 1 024 on what is not of another service; pure. */
export function isPortAllowed(port: number, allowHttp: boolean): boolean {
  if (port === 443) return true;
  if (port === 80) return allowHttp;
  return port >= LOWEST_FREE_PORT && !REFUSED_PORTS.has(port);
}
