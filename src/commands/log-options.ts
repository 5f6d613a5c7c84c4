import { createLog, type Log, logFormats, logLevels } from '../log.ts';
import { oneOf } from './command.ts';

/** The options of the commands that run until they are stopped, about what they log. */
export const logOptions = {
  'log-level': {
    type: 'string',
    default: 'info',
    valueHint: logLevels.join('|'),
    description: 'How much to log',
  },
  'log-format': {
    type: 'string',
    default: 'text',
    valueHint: logFormats.join('|'),
    description: 'How to write the log',
  },
} as const;

/** @throws UsageError */
export function logOf(args: { readonly 'log-level': string; readonly 'log-format': string }): Log {
  return createLog({
    level: oneOf('log-level', logLevels, args['log-level']),
    format: oneOf('log-format', logFormats, args['log-format']),
  });
}
