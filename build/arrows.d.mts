export interface Table {
  /** Files beside the rooms, which any room may import. */
  readonly shared: readonly string[];
  /** For each room, the rooms, and files of rooms, that it may import. */
  readonly arrows: Readonly<Record<string, readonly string[]>>;
  /** Rooms and files that may do no I/O. */
  readonly pure: readonly string[];
  readonly debts: readonly string[];
}
export function breachesOf(src: string, table: Table): string[];
export function unusedArrows(src: string, table: Pick<Table, 'arrows'>): string[];
