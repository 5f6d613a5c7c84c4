type Words = Readonly<Record<string, string>>;

/** What an errno of the file system means to somebody who named the file. */
const always: Words = {
  ENOTDIR: 'part of its path is not a folder',
  EISDIR: 'it is a folder',
  ELOOP: 'its symbolic links form a loop',
};

const whenRead: Words = {
  ...always,
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EPERM: 'this user may not read it',
};

const whenWritten: Words = {
  ...always,
  ENOENT: 'its folder does not exist',
  EACCES: 'this user may not write it',
  EPERM: 'this user may not write it',
  EROFS: 'its file system is read-only',
  ENOSPC: 'no space is left',
  EDQUOT: 'no space is left to this user',
};

/** Why a file could not be read, with the errno: `there is no such file (ENOENT)`. */
export function fileFault(error: unknown): string {
  return inWords(error, whenRead);
}

/** Why a file could not be written, with the errno: `no space is left (ENOSPC)`. */
export function writeFault(error: unknown): string {
  return inWords(error, whenWritten);
}

function inWords(error: unknown, words: Words): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === undefined) {
    return String(error);
  }
  return words[code] === undefined ? code : `${words[code]} (${code})`;
}
