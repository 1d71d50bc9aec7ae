// The command line that both programs have.
import { parseArgs } from 'node:util';

export interface Options {
  command: 'follow' | 'show';
  state: string;
  brokers: string[];
  topic: string;
  untilEnd: boolean;
}

export function options(usage: string, topic: string): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { state: { type: 'string' }, brokers: { type: 'string' }, topic: { type: 'string', default: topic }, 'until-end': { type: 'boolean', default: false } },
  });
  const [command] = positionals;
  const known = command === 'follow' || command === 'show';
  if (!known || positionals.length !== 1 || !values.state || (command === 'follow' && !values.brokers)) {
    console.error(usage);
    process.exit(2);
  }
  return { command, state: values.state, brokers: values.brokers?.split(',') ?? [], topic: values.topic ?? topic, untilEnd: values['until-end'] ?? false };
}
