/** What an errno of the file system means to somebody who named the file. */
const words: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'part of its path is not a folder',
  EISDIR: 'it is a folder',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
  ELOOP: 'its symbolic links form a loop',
};

/** Why a file could not be read, with the errno: `there is no such file (ENOENT)`. */
export function fileFault(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) {
    return String(error);
  }
  return words[code] === undefined ? code : `${words[code]} (${code})`;
}
