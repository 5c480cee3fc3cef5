import { EventEmitter } from 'node:events';
import { surviveLostConnections } from './survive-lost-connections.js';

/** Hands out as `pg` does: the listener of the pool goes before the caller has had a chance to add one. */
class HandingOut extends EventEmitter {
  handOut(client: EventEmitter): void {
    this.emit('acquire', client);
  }
}

describe('surviveLostConnections', () => {
  it('lets a connection be lost in the moment in which it is handed out', () => {
    const pool = new HandingOut();
    const client = new EventEmitter();
    pool.handOut(client);
    expect(() => client.emit('error', new Error('terminated'))).toThrow('terminated');
    surviveLostConnections(pool);
    pool.handOut(client);
    expect(() => client.emit('error', new Error('terminated'))).not.toThrow();
  });

  it('adds one listener to a connection, however often pool and connection come by', () => {
    const pool = new HandingOut();
    const client = new EventEmitter();
    for (let i = 0; i < 3; i++) {
      surviveLostConnections(pool);
      pool.handOut(client);
    }
    expect(pool.listenerCount('acquire')).toBe(1);
    expect(client.listenerCount('error')).toBe(1);
  });

  it.each([undefined, null, 'pool', {}])('leaves %p alone', (pool) => {
    expect(() => surviveLostConnections(pool)).not.toThrow();
  });
});
