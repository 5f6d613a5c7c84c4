/** Of test/scenarios, what is run on every engine, with every driver, when all would take too long. */
export const smokeScenarios: readonly string[] = ['sockets', 'walkthrough'];

/**
 * What the kernel’s WireGuard decides: `npm test` has them in a guest. The others say the same of an older engine and of a userspace
 * tunnel, which this machine runs several times as fast.
 */
export const guestScenarios: readonly string[] = [...smokeScenarios, 'hub-link', 'leaks'];

/** As `skip` of a test that takes long and says what a quicker one says as well (docs/versions.md). */
export const inFullRun = process.env.WGDRIVER_TEST_FULL === undefined && 'in the full run';
