import { commandGroup } from './command.ts';

export default commandGroup(
  { name: 'hub', description: 'Run the other end of the tunnels: the hub’s link, its peers and its rules' },
  {
    serve: async () => (await import('./hub-serve.ts')).default,
    install: async () => (await import('./hub-install.ts')).default,
    uninstall: async () => (await import('./hub-uninstall.ts')).default,
    check: async () => (await import('./hub-check.ts')).default,
    status: async () => (await import('./hub-status.ts')).default,
    adopt: async () => (await import('./hub-adopt.ts')).default,
    down: async () => (await import('./hub-down.ts')).default,
  },
);
