import { Worker } from 'node:worker_threads';

/** A thread that answers each message with one. */
export interface AnsweringWorker {
  /** @throws what ended the thread */
  ask(question: Uint8Array): Promise<Uint8Array>;
  stop(): Promise<void>;
}

/** Starts a thread that runs a program: its text, since a single executable has no file to point to. */
export function startWorker(program: string): AnsweringWorker {
  const worker = new Worker(program, { eval: true });
  const waiting: { resolve(answer: Uint8Array): void; reject(error: Error): void }[] = [];
  let failure: Error | undefined;
  // It answers in order.
  worker.on('message', (answer: Uint8Array) => waiting.shift()?.resolve(answer));
  worker.on('error', (error: Error) => {
    failure = error;
    for (const { reject } of waiting) {
      reject(error);
    }
  });
  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) {
          reject(failure);
          return;
        }
        waiting.push({ resolve, reject });
        worker.postMessage(question);
      }),
    async stop() {
      await worker.terminate();
    },
  };
}
