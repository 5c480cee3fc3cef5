import { Gate, openGate } from './gate.js';

async function hasPassed(step: Promise<void>): Promise<boolean> {
  const turn = new Promise<boolean>((resolve) => setImmediate(() => resolve(false)));
  return Promise.race([step.then(() => true), turn]);
}

describe('Gate', () => {
  it('holds every step until it is opened, and lets later ones through', async () => {
    const gate = new Gate();
    const steps = [gate.pass(), gate.pass()];
    expect(await Promise.all(steps.map(hasPassed))).toEqual([false, false]);
    expect(gate.heldCount).toBe(2);
    gate.open();
    await Promise.all([...steps, gate.pass()]);
    expect(gate.heldCount).toBe(0);
  });

  it('says when the nth step has arrived', async () => {
    const gate = new Gate();
    const second = gate.arrived(2);
    void gate.pass();
    await gate.arrived();
    expect(await hasPassed(second)).toBe(false);
    void gate.pass();
    await second;
    await gate.arrived(2);
  });

  it('lets everyone pass from the start when made by openGate(), and holds once closed', async () => {
    const gate = openGate();
    await gate.pass();
    gate.close();
    const step = gate.pass();
    await gate.arrived();
    expect(await hasPassed(step)).toBe(false);
    gate.open();
    await step;
  });
});
