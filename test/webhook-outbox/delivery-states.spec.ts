import fc from 'fast-check';
import { ClaimStore, type ClaimedDelivery } from '../../libs/webhook-outbox/src/claiming/claim-store.js';
import { DeliveryStore, type StartedDelivery } from '../../libs/webhook-outbox/src/delivering/delivery-store.js';
import type { Settlement } from '../../libs/webhook-outbox/src/outcomes/outcome.js';
import { ReclaimStore } from '../../libs/webhook-outbox/src/reclaiming/reclaim-store.js';
import { OutboxWorld } from './support/outbox-world.js';

/** One delivery in the hands of three workers, any of which may be slow, gone, or wrong about what it holds. */
type Step =
  | { readonly kind: 'claim' | 'start' | 'release' | 'settle' | 'renew'; readonly worker: number }
  | { readonly kind: 'expire' | 'disable' | 'enable' | 'replay'; readonly worker: number };

interface Worker {
  claim?: ClaimedDelivery;
  started?: StartedDelivery;
}

interface Model {
  state: string;
  /** Which worker's claim is the one that counts. */
  owner: number | undefined;
  attempts: number;
  losses: number;
  isStarted: boolean;
  isEnabled: boolean;
  rows: number;
}

const OUTCOMES = ['delivered', 'failed', 'retry'] as const;
const MAX_ATTEMPTS = 4;
const LEASE_MS = 600_000;

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('claim', 'start', 'settle') },
    { weight: 2, arbitrary: fc.constantFrom('release', 'renew', 'expire') },
    { weight: 1, arbitrary: fc.constantFrom('disable', 'enable', 'replay') },
  ),
  worker: fc.nat(2),
});

let world: OutboxWorld;
beforeAll(async () => void (world = await OutboxWorld.create()));
afterAll(() => world.stop());

describe('the states of a delivery', () => {
  it('are those of the model, whatever happens in whatever order', async () => {
    const app = await world.start({ role: 'producer' });
    await world.endpoint(app, 'x');
    const runs = fc.asyncProperty(
      fc.array(fc.tuple(step, fc.constantFrom(...OUTCOMES)), { maxLength: 30 }),
      async (steps) => {
        await world.admin.query('TRUNCATE baton.webhook_deliveries, baton.webhook_events, baton.webhook_attempts');
        await world.admin.query(`UPDATE baton.webhook_endpoints SET state = 'active'`);
        await app.outbox.send({ type: 'a', data: 1 });
        await new Run().all(steps);
      },
    );
    await fc.assert(runs, { numRuns: 60 });
  });
});

class Run {
  private readonly store = new DeliveryStore(world.admin, '"baton"');
  private readonly reclaims = new ReclaimStore(world.admin, '"baton"');
  private readonly workers: Worker[] = [{}, {}, {}];
  private lastFence = 0n;
  private readonly model: Model = {
    state: 'ready',
    owner: undefined,
    attempts: 0,
    losses: 0,
    isStarted: false,
    isEnabled: true,
    rows: 0,
  };

  async all(steps: readonly (readonly [Step, (typeof OUTCOMES)[number]])[]): Promise<void> {
    for (const [{ kind, worker }, outcome] of steps) {
      await this.take(kind, worker, outcome);
      await this.check(kind);
    }
  }

  private async take(kind: Step['kind'], nth: number, outcome: (typeof OUTCOMES)[number]): Promise<void> {
    const { model } = this;
    const worker = this.workers[nth]!;
    const isOwner = model.owner === nth;
    switch (kind) {
      case 'claim': {
        const request = { limit: 1, leaseMs: LEASE_MS, maxInFlight: 1, held: new Map<string, number>() };
        const claims = new ClaimStore(world.admin, '"baton"');
        const claim = model.losses >= 2 ? await claims.claimSuspect(request) : (await claims.claim(request))[0];
        expect(claim !== undefined).toBe(model.state === 'ready' && model.isEnabled);
        if (claim === undefined) return;
        this.workers[nth] = { claim };
        return this.now({ state: 'leased', owner: nth, isStarted: false });
      }
      case 'start': {
        if (worker.claim === undefined || worker.started !== undefined) return;
        const [started] = await this.store.start([worker.claim], LEASE_MS);
        expect(started !== undefined).toBe(isOwner);
        if (started === undefined) return;
        expect(started.endpointVersion === null).toBe(!model.isEnabled);
        worker.started = started;
        return this.now({ attempts: worker.claim.attempts + 1, isStarted: true });
      }
      case 'renew': {
        if (worker.claim === undefined) return;
        return expect((await this.store.renew([worker.claim], LEASE_MS)).size).toBe(isOwner ? 1 : 0);
      }
      case 'release': {
        if (worker.claim === undefined) return;
        const attempts = worker.claim.attempts + (worker.started === undefined ? 0 : 1);
        expect(await this.store.release([{ ...worker.claim, attempts }])).toBe(isOwner ? 1 : 0);
        this.workers[nth] = {};
        if (isOwner) this.now({ state: 'ready', owner: undefined, rows: model.rows + (model.isStarted ? 1 : 0) });
        return;
      }
      case 'settle':
        return this.settle(nth, outcome);
      case 'expire': {
        await world.admin.query(
          `UPDATE baton.webhook_deliveries SET lease_until = now() - interval '1 s' WHERE state = 'leased'`,
        );
        const { deliveries } = await this.reclaims.reclaim(MAX_ATTEMPTS, true);
        expect(deliveries).toHaveLength(model.state === 'leased' ? 1 : 0);
        if (model.state !== 'leased') return;
        const isDead = model.attempts >= MAX_ATTEMPTS || model.losses + 1 >= 10;
        return this.now({
          state: isDead ? 'dead' : 'ready',
          owner: undefined,
          losses: model.losses + 1,
          rows: model.rows + (model.isStarted ? 1 : 0),
        });
      }
      case 'disable': {
        await world.admin.query(`UPDATE baton.webhook_endpoints SET state = 'disabled'`);
        const { parked } = await this.reclaims.putAside();
        expect(parked).toBe(model.state === 'ready' ? 1 : 0);
        return this.now({ isEnabled: false, state: model.state === 'ready' ? 'parked' : model.state });
      }
      case 'enable':
        await world.admin.query(`UPDATE baton.webhook_endpoints SET state = 'active'`);
        return this.now({ isEnabled: true });
      case 'replay': {
        if (model.state === 'leased' || model.state === 'ready' || !model.isEnabled) return;
        await world.admin.query(
          `UPDATE baton.webhook_deliveries SET state = 'ready', attempts = 0, lease_losses = 0, settled_at = NULL, next_at = now()
            WHERE state <> 'leased'`,
        );
        return this.now({ state: 'ready', attempts: 0, losses: 0 });
      }
    }
  }

  private async settle(nth: number, outcome: (typeof OUTCOMES)[number]): Promise<void> {
    const { model } = this;
    const { claim, started } = this.workers[nth]!;
    if (claim === undefined || started === undefined) return;
    const state = outcome === 'retry' ? 'ready' : outcome;
    const rest = { status: 200, error: null, retryInMs: 0, pauseMs: 0, isGone: false } as const;
    const settlement: Settlement = { state, outcome, reason: 'answered', ...rest };
    const ended = { ...claim, attempt: claim.attempts + 1, startedAt: started.startedAt, durationMs: 1, settlement };
    const isOurs = model.owner === nth;
    const isLateSuccess = outcome === 'delivered' && ['ready', 'parked'].includes(model.state);
    const moved = await this.store.settle([ended]);
    expect(moved.size).toBe(isOurs || isLateSuccess ? 1 : 0);
    // The answer was lost: it is told again, and nothing changes.
    const again = await this.store.settle([ended]);
    if (isOurs) expect(again).toEqual(moved);
    this.workers[nth] = {};
    this.now({ rows: model.rows + 1 });
    if (isOurs || isLateSuccess) this.now({ state, owner: undefined, losses: 0 });
  }

  private now(change: Partial<Model>): void {
    Object.assign(this.model, change);
  }

  private async check(kind: string): Promise<void> {
    const [row] = await world.deliveries();
    const { state, attempts, losses, rows } = this.model;
    const attemptRows = await world.attempts();
    expect({
      kind,
      state: row?.state,
      attempts: row?.attempts,
      losses: row?.lease_losses,
      rows: attemptRows.length,
    }).toEqual({
      kind,
      state,
      attempts,
      losses,
      rows,
    });
    expect(row?.settled_at === null).toBe(['ready', 'leased'].includes(state));
    expect(BigInt(row?.fence ?? -1)).toBeGreaterThanOrEqual(this.lastFence);
    this.lastFence = BigInt(row?.fence ?? 0);
  }
}
