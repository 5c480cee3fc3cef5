// Using
export {
  type IncomingWebhook,
  VerifyWebhook,
  type VerifyWebhookOptions,
  type WebhookSecrets,
} from './receiving/verify-webhook.guard.js';
export {
  type VerifiedWebhook,
  verifyWebhook,
  type WebhookHeaders,
  type WebhookToVerify,
} from './receiving/verify-webhook.js';

// Errors
export { RawBodyMissingError, WebhookUnverifiedError } from './webhook-outbox.errors.js';
