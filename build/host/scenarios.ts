/** Of test/scenarios, what is run on every engine, with every driver, when all would take too long. */
export const smokeScenarios: readonly string[] = ['sockets', 'walkthrough'];
