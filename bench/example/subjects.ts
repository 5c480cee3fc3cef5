import { expectCount, serveSubjects } from '../harness/index.js';

serveSubjects({
  concatenation: () =>
    Promise.resolve(
      subject((count) => {
        let text = '';
        for (let i = 0; i < count; i++) text += 'x';
        return text;
      }),
    ),
  join: () => Promise.resolve(subject((count) => Array<string>(count).fill('x').join(''))),
});

function subject(work: (count: number) => string) {
  return {
    run: ({ count }: Readonly<Record<string, unknown>>) => {
      const startedAt = performance.now();
      const text = work(Number(count));
      const seconds = (performance.now() - startedAt) / 1000;
      expectCount('characters', text.length, Number(count));
      return Promise.resolve({ perSecond: text.length / seconds });
    },
    stop: () => Promise.resolve(),
  };
}
