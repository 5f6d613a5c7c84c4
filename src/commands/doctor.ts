import { strictCommand } from './command.ts';
export default strictCommand({ meta: { name: 'doctor', description: 'x' }, args: {}, run() {} });
