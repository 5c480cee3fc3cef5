/**
 * True when `version` (as a server reports it: `15.18 (Debian 15.18-0+deb12u1)`, `7.0.15`, `6.2`) is at least `minimum`. Pure.
 *
 * Only the leading numbers count; a beta or release candidate of the minimum counts as the minimum. A text without a leading number
 * is not a version and counts as too old, so that an unknown server is refused and not trusted.
 */
export function isVersionAtLeast(version: string, minimum: string): boolean {
  const [given, wanted] = [leadingNumbers(version), leadingNumbers(minimum)];
  if (given.length === 0) return false;
  for (let i = 0; i < Math.max(given.length, wanted.length); i++) {
    const difference = (given[i] ?? 0) - (wanted[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

function leadingNumbers(version: string): number[] {
  const match = /^\s*v?(\d+(?:\.\d+)*)/.exec(version);
  return match?.[1] === undefined ? [] : match[1].split('.').map(Number);
}
