// Six empty jobs a chain in BullMQ, audio and clips side by side. Prints [first start, last end] of each.
// A flow is a tree, each job with one parent, so the diamond is two flows: the script's job adds the second.
import { FlowProducer, Worker } from "bullmq";

const [host, port] = process.argv[2].replace("redis://", "").split(":");
const connection = { host, port: Number(port), maxRetriesPerRequest: null };
const chains = Number(process.argv[3]);
const flows = new FlowProducer({ connection });
const queueName = "steps";
const ends = new Map();

const job = (name, chain, children = []) => ({ name, queueName, data: { chain }, children });

const worker = new Worker(
  queueName,
  async (one) => {
    const chain = ends.get(one.data.chain);
    if (one.name === "brief") chain.first = Date.now();
    if (one.name === "script") {
      const sides = [job("audio", one.data.chain), job("clips", one.data.chain)];
      await flows.add(job("post", one.data.chain, [job("render", one.data.chain, sides)]));
    }
    if (one.name === "post") chain.done(Date.now());
  },
  { connection, concurrency: 2 },
);
await worker.waitUntilReady();
for (let number = 0; number <= chains; number++) {
  const chain = {};
  const ended = new Promise((resolve) => (chain.done = resolve));
  ends.set(number, chain);
  const begun = Date.now();
  await flows.add(job("script", number, [job("brief", number)]));
  const last = await ended;
  if (number) console.log(JSON.stringify([(chain.first - begun) / 1000, (last - begun) / 1000]));
  await new Promise((resolve) => setTimeout(resolve, 50));
}
await worker.close();
await flows.close();
process.exit(0);
