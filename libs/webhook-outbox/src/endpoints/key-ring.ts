import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { KeyRingInvalidError } from '../webhook-outbox.errors.js';
import type { WebhookKey } from '../webhook-outbox.options.js';

export interface SealedSecret {
  readonly keyId: string;
  /** IV (12 bytes), tag (16 bytes), ciphertext. */
  readonly sealed: Buffer;
}

const ALGORITHM = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/**
 * Seals and opens endpoint secrets. The endpoint's id is authenticated with the secret, so a sealed secret that was copied into another
 * endpoint's row does not open.
 */
export class KeyRing {
  private readonly keys: ReadonlyMap<string, Buffer>;

  constructor(private readonly ring: readonly WebhookKey[]) {
    this.keys = new Map(ring.map(({ id, key }) => [id, Buffer.from(key, 'base64')]));
  }

  /** Of the key that seals. @throws KeyRingInvalidError when the ring is empty. */
  get firstId(): string {
    return this.first().id;
  }

  /** Under the first key of the ring. @throws KeyRingInvalidError when the ring is empty. */
  seal(secret: Buffer, endpointId: string): SealedSecret {
    const { id: keyId, key } = this.first();
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(ALGORITHM, Buffer.from(key, 'base64'), iv).setAAD(Buffer.from(endpointId));
    const ciphertext = Buffer.concat([cipher.update(secret), cipher.final()]);
    return { keyId, sealed: Buffer.concat([iv, cipher.getAuthTag(), ciphertext]) };
  }

  /** @throws KeyRingInvalidError when the key is not in the ring, or is not the one that sealed. */
  open({ keyId, sealed }: SealedSecret, endpointId: string): Buffer {
    const key = this.keys.get(keyId);
    if (key === undefined)
      throw new KeyRingInvalidError(
        `The secret of endpoint ${endpointId} is sealed with key '${keyId}', which is not in keys.`,
      );
    try {
      const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
        .setAAD(Buffer.from(endpointId))
        .setAuthTag(sealed.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
      return Buffer.concat([decipher.update(sealed.subarray(IV_BYTES + TAG_BYTES)), decipher.final()]);
    } catch (cause) {
      throw new KeyRingInvalidError(
        `The secret of endpoint ${endpointId} does not open with key '${keyId}': another key under that id, or a damaged row.`,
        { cause },
      );
    }
  }

  private first(): WebhookKey {
    const [first] = this.ring;
    if (first === undefined)
      throw new KeyRingInvalidError('No key is configured to seal secrets with; set keys: [{ id, key }].');
    return first;
  }
}
